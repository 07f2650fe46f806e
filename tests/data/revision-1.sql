-- A database as crmcore made it at revision 1, with five customers, faults, debts and timers.
BEGIN TRANSACTION;
CREATE TABLE crm_customer (
	customer_id INTEGER NOT NULL, 
	recorded_at INTEGER NOT NULL, 
	reference TEXT NOT NULL, 
	PRIMARY KEY (customer_id)
);
INSERT INTO "crm_customer" VALUES(1,1704067200000000,'1cf3cb760ebafb93e376aa8fec2b89cb');
INSERT INTO "crm_customer" VALUES(2,1704326400000000,'b13d69940748a35c08a9a930893cf103');
INSERT INTO "crm_customer" VALUES(3,1704585600000000,'6b25f08f0bf6d45cd8af3d6e302e0069');
INSERT INTO "crm_customer" VALUES(4,1704844800000000,'c930068e3d0a0f21f3e338fa65318d22');
INSERT INTO "crm_customer" VALUES(5,1705104000000000,'1180eb15766abe0b3fdc2ce026bfecf6');
CREATE TABLE crm_debt (
	plugin TEXT NOT NULL, 
	customer_id INTEGER NOT NULL, 
	first_interaction_id INTEGER NOT NULL, 
	missed_stages TEXT, 
	PRIMARY KEY (plugin, customer_id)
)
 WITHOUT ROWID

;
INSERT INTO "crm_debt" VALUES('notebook',2,57,NULL);
INSERT INTO "crm_debt" VALUES('notebook',4,58,NULL);
CREATE TABLE crm_dedupe (
	source TEXT NOT NULL, 
	source_key TEXT NOT NULL, 
	interaction_id INTEGER NOT NULL, 
	PRIMARY KEY (source, source_key)
)
 WITHOUT ROWID

;
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:27bb891b8550cac46ca6d60343095d85/6b25f08f0bf6d45cd8af3d6e302e0069',4);
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:386fe429a311f3007739eafca1d2e572/6b25f08f0bf6d45cd8af3d6e302e0069',32);
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:723cb57caf0e8082b77289e9c82ed538/6b25f08f0bf6d45cd8af3d6e302e0069',11);
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:a43a60b5331de4026fa159fcef533316/6b25f08f0bf6d45cd8af3d6e302e0069',25);
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:aa9c804bca888cf07c6ee637cb254bfb/6b25f08f0bf6d45cd8af3d6e302e0069',53);
INSERT INTO "crm_dedupe" VALUES('crmcore','refused:cc834c9eba779f6976a30d71d5b6ed1e/6b25f08f0bf6d45cd8af3d6e302e0069',39);
INSERT INTO "crm_dedupe" VALUES('shop','d12',17);
INSERT INTO "crm_dedupe" VALUES('shop','d16',22);
INSERT INTO "crm_dedupe" VALUES('shop','d20',28);
INSERT INTO "crm_dedupe" VALUES('shop','d24',34);
INSERT INTO "crm_dedupe" VALUES('shop','d28',40);
INSERT INTO "crm_dedupe" VALUES('shop','d32',45);
INSERT INTO "crm_dedupe" VALUES('shop','d36',50);
INSERT INTO "crm_dedupe" VALUES('shop','d4',6);
INSERT INTO "crm_dedupe" VALUES('shop','d40',56);
INSERT INTO "crm_dedupe" VALUES('shop','d8',12);
INSERT INTO "crm_dedupe" VALUES('shop','o10',14);
INSERT INTO "crm_dedupe" VALUES('shop','o11',15);
INSERT INTO "crm_dedupe" VALUES('shop','o12',16);
INSERT INTO "crm_dedupe" VALUES('shop','o14',19);
INSERT INTO "crm_dedupe" VALUES('shop','o15',20);
INSERT INTO "crm_dedupe" VALUES('shop','o16',21);
INSERT INTO "crm_dedupe" VALUES('shop','o18',24);
INSERT INTO "crm_dedupe" VALUES('shop','o19',26);
INSERT INTO "crm_dedupe" VALUES('shop','o2',2);
INSERT INTO "crm_dedupe" VALUES('shop','o20',27);
INSERT INTO "crm_dedupe" VALUES('shop','o22',30);
INSERT INTO "crm_dedupe" VALUES('shop','o23',31);
INSERT INTO "crm_dedupe" VALUES('shop','o24',33);
INSERT INTO "crm_dedupe" VALUES('shop','o26',36);
INSERT INTO "crm_dedupe" VALUES('shop','o27',37);
INSERT INTO "crm_dedupe" VALUES('shop','o28',38);
INSERT INTO "crm_dedupe" VALUES('shop','o3',3);
INSERT INTO "crm_dedupe" VALUES('shop','o30',42);
INSERT INTO "crm_dedupe" VALUES('shop','o31',43);
INSERT INTO "crm_dedupe" VALUES('shop','o32',44);
INSERT INTO "crm_dedupe" VALUES('shop','o34',47);
INSERT INTO "crm_dedupe" VALUES('shop','o35',48);
INSERT INTO "crm_dedupe" VALUES('shop','o36',49);
INSERT INTO "crm_dedupe" VALUES('shop','o38',52);
INSERT INTO "crm_dedupe" VALUES('shop','o39',54);
INSERT INTO "crm_dedupe" VALUES('shop','o4',5);
INSERT INTO "crm_dedupe" VALUES('shop','o40',55);
INSERT INTO "crm_dedupe" VALUES('shop','o6',8);
INSERT INTO "crm_dedupe" VALUES('shop','o7',9);
INSERT INTO "crm_dedupe" VALUES('shop','o8',10);
INSERT INTO "crm_dedupe" VALUES('shop','r1',57);
INSERT INTO "crm_dedupe" VALUES('shop','r2',58);
INSERT INTO "crm_dedupe" VALUES('shop','v1',1);
INSERT INTO "crm_dedupe" VALUES('shop','v13',18);
INSERT INTO "crm_dedupe" VALUES('shop','v17',23);
INSERT INTO "crm_dedupe" VALUES('shop','v21',29);
INSERT INTO "crm_dedupe" VALUES('shop','v25',35);
INSERT INTO "crm_dedupe" VALUES('shop','v29',41);
INSERT INTO "crm_dedupe" VALUES('shop','v33',46);
INSERT INTO "crm_dedupe" VALUES('shop','v37',51);
INSERT INTO "crm_dedupe" VALUES('shop','v5',7);
INSERT INTO "crm_dedupe" VALUES('shop','v9',13);
CREATE TABLE crm_fault (
	fault_id INTEGER NOT NULL, 
	plugin TEXT NOT NULL, 
	hook TEXT NOT NULL, 
	recorded_at INTEGER NOT NULL, 
	error TEXT NOT NULL, 
	message TEXT NOT NULL, 
	trace TEXT NOT NULL, 
	PRIMARY KEY (fault_id)
);
INSERT INTO "crm_fault" VALUES(1,'notebook','on_interactions_recorded',1714521600000000,'ValueError','told to fail','Traceback (most recent call last):
  File "src/crmcore/services/dispatcher.py", line 72, in isolated
    return call(), None
           ^^^^^^
  File "src/crmcore/services/dispatcher.py", line 173, in <lambda>
    lambda call=call: call.run(unit.context(call.plugin), call.event),  # type: ignore[misc]
                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "tests/support/notebook.py", line 80, in on_interactions_recorded
    raise ValueError("told to fail")
ValueError: told to fail
');
INSERT INTO "crm_fault" VALUES(2,'notebook','on_interactions_recorded',1714564800000000,'ValueError','told to fail','Traceback (most recent call last):
  File "src/crmcore/services/dispatcher.py", line 72, in isolated
    return call(), None
           ^^^^^^
  File "src/crmcore/services/dispatcher.py", line 173, in <lambda>
    lambda call=call: call.run(unit.context(call.plugin), call.event),  # type: ignore[misc]
                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "tests/support/notebook.py", line 80, in on_interactions_recorded
    raise ValueError("told to fail")
ValueError: told to fail
');
CREATE TABLE crm_identifier (
	scheme TEXT NOT NULL, 
	identifier_value TEXT NOT NULL, 
	customer_id INTEGER NOT NULL, 
	recorded_at INTEGER NOT NULL, 
	PRIMARY KEY (scheme, identifier_value)
)
 WITHOUT ROWID

;
INSERT INTO "crm_identifier" VALUES('account','emil',5,1706400000000000);
INSERT INTO "crm_identifier" VALUES('email','ada@example.com',1,1704067200000000);
INSERT INTO "crm_identifier" VALUES('email','ben@example.com',2,1704326400000000);
INSERT INTO "crm_identifier" VALUES('email','cleo@example.com',3,1704585600000000);
INSERT INTO "crm_identifier" VALUES('email','dora@example.com',4,1704844800000000);
INSERT INTO "crm_identifier" VALUES('email','emil@example.com',5,1705104000000000);
CREATE TABLE crm_interaction (
	interaction_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	kind_version INTEGER NOT NULL, 
	customer_id INTEGER NOT NULL, 
	recorded_for INTEGER NOT NULL, 
	occurred_at INTEGER NOT NULL, 
	recorded_at INTEGER NOT NULL, 
	origin TEXT NOT NULL, 
	source TEXT NOT NULL, 
	source_key TEXT, 
	channel TEXT, 
	actor TEXT, 
	subject TEXT, 
	thread TEXT, 
	touch TEXT, 
	amount_minor INTEGER, 
	currency TEXT, 
	amount_base_minor INTEGER, 
	caused_by INTEGER, 
	payload TEXT NOT NULL, 
	personal TEXT, 
	PRIMARY KEY (interaction_id)
);
INSERT INTO "crm_interaction" VALUES(1,'product.viewed',1,1,1,1704067200000000,1704067200000000,'observed','shop','v1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(2,'order.placed',1,2,2,1704326400000000,1704326400000000,'observed','shop','o2',NULL,NULL,'order:2',NULL,NULL,1993,'EUR',1993,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(3,'order.placed',1,3,3,1704585600000000,1704585600000000,'observed','shop','o3',NULL,NULL,'order:3',NULL,NULL,1996,'EUR',1996,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(4,'stage.refused',1,3,3,1704585600000000,1704585600000000,'decided','crmcore','refused:27bb891b8550cac46ca6d60343095d85/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3,'{"evidence":"shop/o3","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(5,'order.placed',1,4,4,1704844800000000,1704844800000000,'observed','shop','o4',NULL,NULL,'order:4',NULL,NULL,1999,'EUR',1999,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(6,'order.delivered',1,4,4,1704931200000000,1704931200000000,'observed','shop','d4',NULL,NULL,'order:4',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(7,'product.viewed',1,5,5,1705104000000000,1705104000000000,'observed','shop','v5',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(8,'order.placed',1,1,1,1705363200000000,1705363200000000,'observed','shop','o6',NULL,NULL,'order:6',NULL,NULL,2005,'EUR',2005,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(9,'order.placed',1,2,2,1705622400000000,1705622400000000,'observed','shop','o7',NULL,NULL,'order:7',NULL,NULL,2008,'EUR',2008,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(10,'order.placed',1,3,3,1705881600000000,1705881600000000,'observed','shop','o8',NULL,NULL,'order:8',NULL,NULL,2011,'EUR',2011,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(11,'stage.refused',1,3,3,1705881600000000,1705881600000000,'decided','crmcore','refused:723cb57caf0e8082b77289e9c82ed538/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,10,'{"evidence":"shop/o8","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(12,'order.delivered',1,3,3,1705968000000000,1705968000000000,'observed','shop','d8',NULL,NULL,'order:8',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(13,'product.viewed',1,4,4,1706140800000000,1706140800000000,'observed','shop','v9',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(14,'order.placed',1,5,5,1706400000000000,1706400000000000,'observed','shop','o10',NULL,NULL,'order:10',NULL,NULL,2017,'EUR',2017,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(15,'order.placed',1,1,1,1706659200000000,1706659200000000,'observed','shop','o11',NULL,NULL,'order:11',NULL,NULL,2020,'EUR',2020,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(16,'order.placed',1,2,2,1706918400000000,1706918400000000,'observed','shop','o12',NULL,NULL,'order:12',NULL,NULL,2023,'EUR',2023,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(17,'order.delivered',1,2,2,1707004800000000,1707004800000000,'observed','shop','d12',NULL,NULL,'order:12',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(18,'product.viewed',1,3,3,1707177600000000,1707177600000000,'observed','shop','v13',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(19,'order.placed',1,4,4,1707436800000000,1707436800000000,'observed','shop','o14',NULL,NULL,'order:14',NULL,NULL,2029,'EUR',2029,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(20,'order.placed',1,5,5,1707696000000000,1707696000000000,'observed','shop','o15',NULL,NULL,'order:15',NULL,NULL,2032,'EUR',2032,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(21,'order.placed',1,1,1,1707955200000000,1707955200000000,'observed','shop','o16',NULL,NULL,'order:16',NULL,NULL,2035,'EUR',2035,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(22,'order.delivered',1,1,1,1708041600000000,1708041600000000,'observed','shop','d16',NULL,NULL,'order:16',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(23,'product.viewed',1,2,2,1708214400000000,1708214400000000,'observed','shop','v17',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(24,'order.placed',1,3,3,1708473600000000,1708473600000000,'observed','shop','o18',NULL,NULL,'order:18',NULL,NULL,2041,'EUR',2041,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(25,'stage.refused',1,3,3,1708473600000000,1708473600000000,'decided','crmcore','refused:a43a60b5331de4026fa159fcef533316/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,24,'{"evidence":"shop/o18","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(26,'order.placed',1,4,4,1708732800000000,1708732800000000,'observed','shop','o19',NULL,NULL,'order:19',NULL,NULL,2044,'EUR',2044,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(27,'order.placed',1,5,5,1708992000000000,1708992000000000,'observed','shop','o20',NULL,NULL,'order:20',NULL,NULL,2047,'EUR',2047,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(28,'order.delivered',1,5,5,1709078400000000,1709078400000000,'observed','shop','d20',NULL,NULL,'order:20',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(29,'product.viewed',1,1,1,1709251200000000,1709251200000000,'observed','shop','v21',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(30,'order.placed',1,2,2,1709510400000000,1709510400000000,'observed','shop','o22',NULL,NULL,'order:22',NULL,NULL,2053,'EUR',2053,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(31,'order.placed',1,3,3,1709769600000000,1709769600000000,'observed','shop','o23',NULL,NULL,'order:23',NULL,NULL,2056,'EUR',2056,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(32,'stage.refused',1,3,3,1709769600000000,1709769600000000,'decided','crmcore','refused:386fe429a311f3007739eafca1d2e572/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,31,'{"evidence":"shop/o23","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(33,'order.placed',1,4,4,1710028800000000,1710028800000000,'observed','shop','o24',NULL,NULL,'order:24',NULL,NULL,2059,'EUR',2059,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(34,'order.delivered',1,4,4,1710115200000000,1710115200000000,'observed','shop','d24',NULL,NULL,'order:24',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(35,'product.viewed',1,5,5,1710288000000000,1710288000000000,'observed','shop','v25',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(36,'order.placed',1,1,1,1710547200000000,1710547200000000,'observed','shop','o26',NULL,NULL,'order:26',NULL,NULL,2065,'EUR',2065,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(37,'order.placed',1,2,2,1710806400000000,1710806400000000,'observed','shop','o27',NULL,NULL,'order:27',NULL,NULL,2068,'EUR',2068,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(38,'order.placed',1,3,3,1711065600000000,1711065600000000,'observed','shop','o28',NULL,NULL,'order:28',NULL,NULL,2071,'EUR',2071,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(39,'stage.refused',1,3,3,1711065600000000,1711065600000000,'decided','crmcore','refused:cc834c9eba779f6976a30d71d5b6ed1e/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,38,'{"evidence":"shop/o28","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(40,'order.delivered',1,3,3,1711152000000000,1711152000000000,'observed','shop','d28',NULL,NULL,'order:28',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(41,'product.viewed',1,4,4,1711324800000000,1711324800000000,'observed','shop','v29',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(42,'order.placed',1,5,5,1711584000000000,1711584000000000,'observed','shop','o30',NULL,NULL,'order:30',NULL,NULL,2077,'EUR',2077,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(43,'order.placed',1,1,1,1711843200000000,1711843200000000,'observed','shop','o31',NULL,NULL,'order:31',NULL,NULL,2080,'EUR',2080,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(44,'order.placed',1,2,2,1712102400000000,1712102400000000,'observed','shop','o32',NULL,NULL,'order:32',NULL,NULL,2083,'EUR',2083,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(45,'order.delivered',1,2,2,1712188800000000,1712188800000000,'observed','shop','d32',NULL,NULL,'order:32',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(46,'product.viewed',1,3,3,1712361600000000,1712361600000000,'observed','shop','v33',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(47,'order.placed',1,4,4,1712620800000000,1712620800000000,'observed','shop','o34',NULL,NULL,'order:34',NULL,NULL,2089,'EUR',2089,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(48,'order.placed',1,5,5,1712880000000000,1712880000000000,'observed','shop','o35',NULL,NULL,'order:35',NULL,NULL,2092,'EUR',2092,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(49,'order.placed',1,1,1,1713139200000000,1713139200000000,'observed','shop','o36',NULL,NULL,'order:36',NULL,NULL,2095,'EUR',2095,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(50,'order.delivered',1,1,1,1713225600000000,1713225600000000,'observed','shop','d36',NULL,NULL,'order:36',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(51,'product.viewed',1,2,2,1713398400000000,1713398400000000,'observed','shop','v37',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"product":"p1"}',NULL);
INSERT INTO "crm_interaction" VALUES(52,'order.placed',1,3,3,1713657600000000,1713657600000000,'observed','shop','o38',NULL,NULL,'order:38',NULL,NULL,2101,'EUR',2101,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(53,'stage.refused',1,3,3,1713657600000000,1713657600000000,'decided','crmcore','refused:aa9c804bca888cf07c6ee637cb254bfb/6b25f08f0bf6d45cd8af3d6e302e0069',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,52,'{"evidence":"shop/o38","from_stage":"anonymous","lifecycle":"relationship","reasons":["notebook: not the third"],"subject":"","to_stage":"ordering"}',NULL);
INSERT INTO "crm_interaction" VALUES(54,'order.placed',1,4,4,1713916800000000,1713916800000000,'observed','shop','o39',NULL,NULL,'order:39',NULL,NULL,2104,'EUR',2104,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(55,'order.placed',1,5,5,1714176000000000,1714176000000000,'observed','shop','o40',NULL,NULL,'order:40',NULL,NULL,2107,'EUR',2107,NULL,'{}','{}');
INSERT INTO "crm_interaction" VALUES(56,'order.delivered',1,5,5,1714262400000000,1714262400000000,'observed','shop','d40',NULL,NULL,'order:40',NULL,NULL,NULL,NULL,NULL,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(57,'order.refunded',1,2,2,1714521600000000,1714521600000000,'observed','shop','r1',NULL,NULL,NULL,NULL,NULL,-500,'EUR',-500,NULL,'{}',NULL);
INSERT INTO "crm_interaction" VALUES(58,'order.refunded',1,4,4,1714564800000000,1714564800000000,'observed','shop','r2',NULL,NULL,NULL,NULL,NULL,-700,'EUR',-700,NULL,'{}',NULL);
CREATE TABLE crm_line (
	interaction_id INTEGER NOT NULL, 
	line_number INTEGER NOT NULL, 
	customer_id INTEGER NOT NULL, 
	line_key TEXT, 
	undoes TEXT, 
	product TEXT NOT NULL, 
	variant TEXT, 
	category TEXT, 
	sign INTEGER NOT NULL, 
	quantity INTEGER NOT NULL, 
	amount_minor INTEGER NOT NULL, 
	amount_base_minor INTEGER, 
	cost_minor INTEGER, 
	PRIMARY KEY (interaction_id, line_number, customer_id)
)
 WITHOUT ROWID

;
INSERT INTO "crm_line" VALUES(2,1,2,NULL,NULL,'p1',NULL,NULL,1,1,1993,1993,NULL);
INSERT INTO "crm_line" VALUES(5,1,4,NULL,NULL,'p1',NULL,NULL,1,1,1999,1999,NULL);
INSERT INTO "crm_line" VALUES(8,1,1,NULL,NULL,'p1',NULL,NULL,1,1,2005,2005,NULL);
INSERT INTO "crm_line" VALUES(10,1,3,NULL,NULL,'p1',NULL,NULL,1,1,2011,2011,NULL);
INSERT INTO "crm_line" VALUES(14,1,5,NULL,NULL,'p1',NULL,NULL,1,1,2017,2017,NULL);
INSERT INTO "crm_line" VALUES(16,1,2,NULL,NULL,'p1',NULL,NULL,1,1,2023,2023,NULL);
INSERT INTO "crm_line" VALUES(19,1,4,NULL,NULL,'p1',NULL,NULL,1,1,2029,2029,NULL);
INSERT INTO "crm_line" VALUES(21,1,1,NULL,NULL,'p1',NULL,NULL,1,1,2035,2035,NULL);
INSERT INTO "crm_line" VALUES(24,1,3,NULL,NULL,'p1',NULL,NULL,1,1,2041,2041,NULL);
INSERT INTO "crm_line" VALUES(27,1,5,NULL,NULL,'p1',NULL,NULL,1,1,2047,2047,NULL);
INSERT INTO "crm_line" VALUES(30,1,2,NULL,NULL,'p1',NULL,NULL,1,1,2053,2053,NULL);
INSERT INTO "crm_line" VALUES(33,1,4,NULL,NULL,'p1',NULL,NULL,1,1,2059,2059,NULL);
INSERT INTO "crm_line" VALUES(36,1,1,NULL,NULL,'p1',NULL,NULL,1,1,2065,2065,NULL);
INSERT INTO "crm_line" VALUES(38,1,3,NULL,NULL,'p1',NULL,NULL,1,1,2071,2071,NULL);
INSERT INTO "crm_line" VALUES(42,1,5,NULL,NULL,'p1',NULL,NULL,1,1,2077,2077,NULL);
INSERT INTO "crm_line" VALUES(44,1,2,NULL,NULL,'p1',NULL,NULL,1,1,2083,2083,NULL);
INSERT INTO "crm_line" VALUES(47,1,4,NULL,NULL,'p1',NULL,NULL,1,1,2089,2089,NULL);
INSERT INTO "crm_line" VALUES(49,1,1,NULL,NULL,'p1',NULL,NULL,1,1,2095,2095,NULL);
INSERT INTO "crm_line" VALUES(52,1,3,NULL,NULL,'p1',NULL,NULL,1,1,2101,2101,NULL);
INSERT INTO "crm_line" VALUES(55,1,5,NULL,NULL,'p1',NULL,NULL,1,1,2107,2107,NULL);
CREATE TABLE crm_notebook_note (
	customer_id INTEGER NOT NULL, 
	note_number INTEGER NOT NULL, 
	words TEXT NOT NULL, 
	PRIMARY KEY (customer_id, note_number)
);
INSERT INTO "crm_notebook_note" VALUES(2,2,'order o2');
INSERT INTO "crm_notebook_note" VALUES(3,3,'order o3');
INSERT INTO "crm_notebook_note" VALUES(4,5,'order o4');
INSERT INTO "crm_notebook_note" VALUES(1,8,'order o6');
INSERT INTO "crm_notebook_note" VALUES(2,9,'order o7');
INSERT INTO "crm_notebook_note" VALUES(3,10,'order o8');
INSERT INTO "crm_notebook_note" VALUES(5,14,'order o10');
INSERT INTO "crm_notebook_note" VALUES(1,15,'order o11');
INSERT INTO "crm_notebook_note" VALUES(2,16,'order o12');
INSERT INTO "crm_notebook_note" VALUES(4,19,'order o14');
INSERT INTO "crm_notebook_note" VALUES(5,20,'order o15');
INSERT INTO "crm_notebook_note" VALUES(1,21,'order o16');
INSERT INTO "crm_notebook_note" VALUES(3,24,'order o18');
INSERT INTO "crm_notebook_note" VALUES(4,26,'order o19');
INSERT INTO "crm_notebook_note" VALUES(5,27,'order o20');
INSERT INTO "crm_notebook_note" VALUES(2,30,'order o22');
INSERT INTO "crm_notebook_note" VALUES(3,31,'order o23');
INSERT INTO "crm_notebook_note" VALUES(4,33,'order o24');
INSERT INTO "crm_notebook_note" VALUES(1,36,'order o26');
INSERT INTO "crm_notebook_note" VALUES(2,37,'order o27');
INSERT INTO "crm_notebook_note" VALUES(3,38,'order o28');
INSERT INTO "crm_notebook_note" VALUES(5,42,'order o30');
INSERT INTO "crm_notebook_note" VALUES(1,43,'order o31');
INSERT INTO "crm_notebook_note" VALUES(2,44,'order o32');
INSERT INTO "crm_notebook_note" VALUES(4,47,'order o34');
INSERT INTO "crm_notebook_note" VALUES(5,48,'order o35');
INSERT INTO "crm_notebook_note" VALUES(1,49,'order o36');
INSERT INTO "crm_notebook_note" VALUES(3,52,'order o38');
INSERT INTO "crm_notebook_note" VALUES(4,54,'order o39');
INSERT INTO "crm_notebook_note" VALUES(5,55,'order o40');
CREATE TABLE crm_notebook_tally (
	customer_id INTEGER NOT NULL, 
	facts INTEGER NOT NULL, 
	net_minor INTEGER NOT NULL, 
	PRIMARY KEY (customer_id)
);
INSERT INTO "crm_notebook_tally" VALUES(1,10,12300);
INSERT INTO "crm_notebook_tally" VALUES(2,10,12228);
INSERT INTO "crm_notebook_tally" VALUES(3,10,12276);
INSERT INTO "crm_notebook_tally" VALUES(4,10,12324);
INSERT INTO "crm_notebook_tally" VALUES(5,10,12372);
CREATE TABLE crm_plugin_table (
	plugin TEXT NOT NULL, 
	table_name TEXT NOT NULL, 
	derived INTEGER NOT NULL, 
	merge_policy TEXT NOT NULL, 
	export_policy TEXT NOT NULL, 
	erase_policy TEXT NOT NULL, 
	shape TEXT NOT NULL, 
	PRIMARY KEY (plugin, table_name)
);
INSERT INTO "crm_plugin_table" VALUES('notebook','crm_notebook_note',0,'keep_both','include','delete','2679120c155dff2711bfad5c4ac68e497ce34bb2bd09525731c20fe33cbd3af8');
INSERT INTO "crm_plugin_table" VALUES('notebook','crm_notebook_tally',1,'recompute','include','delete','4389a029404263efbcddaadf5b24a509a826e8ace35f328805092e78bc81d1fc/1');
CREATE TABLE crm_revision (
	component TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	checksum TEXT NOT NULL, 
	applied_at INTEGER NOT NULL, 
	PRIMARY KEY (component)
);
INSERT INTO "crm_revision" VALUES('crmcore',1,'50afcabd4ed645d55e493a6f019d2f358d445a0b289a766616e8bc513e2033e3',1704067200000000);
CREATE TABLE crm_setting (
	setting TEXT NOT NULL, 
	setting_value TEXT NOT NULL, 
	PRIMARY KEY (setting)
);
INSERT INTO "crm_setting" VALUES('instance','b1f7082f0b888782eefb410808134d5f');
INSERT INTO "crm_setting" VALUES('secret','a72de1a044ebfd7a43d0e4c2130da4f15e3d6c7e86bc928e574ede2044108873');
INSERT INTO "crm_setting" VALUES('currency','EUR');
INSERT INTO "crm_setting" VALUES('plugins','notebook');
INSERT INTO "crm_setting" VALUES('lifecycles','relationship');
INSERT INTO "crm_setting" VALUES('lifecycle:relationship','49dbe7ff4543890712f33db95bfbccb31faab35e8827ea614a94250de8a7e749');
INSERT INTO "crm_setting" VALUES('time_run','1714176000000000');
CREATE TABLE crm_stage (
	customer_id INTEGER NOT NULL, 
	lifecycle TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	entered_at INTEGER, 
	before_phase TEXT, 
	reason TEXT, 
	caused_by INTEGER, 
	counts TEXT NOT NULL, 
	last_at INTEGER NOT NULL, 
	last_rank INTEGER NOT NULL, 
	last_source TEXT NOT NULL, 
	last_source_key TEXT NOT NULL, 
	last_interaction_id INTEGER NOT NULL, 
	changes INTEGER NOT NULL, 
	next_at INTEGER, 
	announced TEXT NOT NULL, 
	PRIMARY KEY (customer_id, lifecycle, subject)
)
 WITHOUT ROWID

;
INSERT INTO "crm_stage" VALUES(1,'relationship','','loyal',1713225600000000,'ordering','received the order',50,'6 2',1713225600000000,10,'shop','d36',50,12,1721001600000000,'loyal');
INSERT INTO "crm_stage" VALUES(2,'relationship','','loyal',1712188800000000,'ordering','received the order',45,'6 2',1714521600000000,12,'shop','r1',57,12,1722297600000000,'loyal');
INSERT INTO "crm_stage" VALUES(3,'relationship','','anonymous',NULL,NULL,NULL,NULL,'6 2',1713657600000000,8,'shop','o38',52,0,NULL,'anonymous');
INSERT INTO "crm_stage" VALUES(4,'relationship','','ordering',1713916800000000,'loyal','placed an order',54,'6 2',1714564800000000,12,'shop','r2',58,11,1715817600000000,'ordering');
INSERT INTO "crm_stage" VALUES(5,'relationship','','loyal',1714262400000000,'ordering','received the order',56,'6 2',1714262400000000,10,'shop','d40',56,12,1722038400000000,'loyal');
CREATE TABLE crm_stage_change (
	customer_id INTEGER NOT NULL, 
	lifecycle TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	step INTEGER NOT NULL, 
	from_stage TEXT NOT NULL, 
	to_stage TEXT NOT NULL, 
	effective_at INTEGER NOT NULL, 
	recorded_at INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	caused_by INTEGER, 
	evidence TEXT NOT NULL, 
	PRIMARY KEY (customer_id, lifecycle, subject, step)
)
 WITHOUT ROWID

;
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',1,'anonymous','ordering',1705363200000000,1705363200000000,'placed an order',8,'shop/o6');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',2,'ordering','new',1706572800000000,1706659200000000,'no word for 14 days, so the order is taken as received',8,'time/1706572800000000');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',3,'new','ordering',1706659200000000,1706659200000000,'placed an order',15,'shop/o11');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',4,'ordering','repeat',1707868800000000,1707955200000000,'no word for 14 days, so the order is taken as received',15,'time/1707868800000000');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',5,'repeat','ordering',1707955200000000,1707955200000000,'placed an order',21,'shop/o16');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',6,'ordering','repeat',1708041600000000,1708041600000000,'received the order',22,'shop/d16');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',7,'repeat','ordering',1710547200000000,1710547200000000,'placed an order',36,'shop/o26');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',8,'ordering','repeat',1711756800000000,1711843200000000,'no word for 14 days, so the order is taken as received',36,'time/1711756800000000');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',9,'repeat','ordering',1711843200000000,1711843200000000,'placed an order',43,'shop/o31');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',10,'ordering','loyal',1713052800000000,1713139200000000,'no word for 14 days, so the order is taken as received',43,'time/1713052800000000');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',11,'loyal','ordering',1713139200000000,1713139200000000,'placed an order',49,'shop/o36');
INSERT INTO "crm_stage_change" VALUES(1,'relationship','',12,'ordering','loyal',1713225600000000,1713225600000000,'received the order',50,'shop/d36');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',1,'anonymous','ordering',1704326400000000,1704326400000000,'placed an order',2,'shop/o2');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',2,'ordering','new',1705536000000000,1705622400000000,'no word for 14 days, so the order is taken as received',2,'time/1705536000000000');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',3,'new','ordering',1705622400000000,1705622400000000,'placed an order',9,'shop/o7');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',4,'ordering','repeat',1706832000000000,1706918400000000,'no word for 14 days, so the order is taken as received',9,'time/1706832000000000');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',5,'repeat','ordering',1706918400000000,1706918400000000,'placed an order',16,'shop/o12');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',6,'ordering','repeat',1707004800000000,1707004800000000,'received the order',17,'shop/d12');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',7,'repeat','ordering',1709510400000000,1709510400000000,'placed an order',30,'shop/o22');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',8,'ordering','repeat',1710720000000000,1710806400000000,'no word for 14 days, so the order is taken as received',30,'time/1710720000000000');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',9,'repeat','ordering',1710806400000000,1710806400000000,'placed an order',37,'shop/o27');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',10,'ordering','loyal',1712016000000000,1712102400000000,'no word for 14 days, so the order is taken as received',37,'time/1712016000000000');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',11,'loyal','ordering',1712102400000000,1712102400000000,'placed an order',44,'shop/o32');
INSERT INTO "crm_stage_change" VALUES(2,'relationship','',12,'ordering','loyal',1712188800000000,1712188800000000,'received the order',45,'shop/d32');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',1,'anonymous','ordering',1704844800000000,1704844800000000,'placed an order',5,'shop/o4');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',2,'ordering','new',1704931200000000,1704931200000000,'received the order',6,'shop/d4');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',3,'new','ordering',1707436800000000,1707436800000000,'placed an order',19,'shop/o14');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',4,'ordering','repeat',1708646400000000,1708732800000000,'no word for 14 days, so the order is taken as received',19,'time/1708646400000000');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',5,'repeat','ordering',1708732800000000,1708732800000000,'placed an order',26,'shop/o19');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',6,'ordering','repeat',1709942400000000,1710028800000000,'no word for 14 days, so the order is taken as received',26,'time/1709942400000000');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',7,'repeat','ordering',1710028800000000,1710028800000000,'placed an order',33,'shop/o24');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',8,'ordering','repeat',1710115200000000,1710115200000000,'received the order',34,'shop/d24');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',9,'repeat','ordering',1712620800000000,1712620800000000,'placed an order',47,'shop/o34');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',10,'ordering','loyal',1713830400000000,1713916800000000,'no word for 14 days, so the order is taken as received',47,'time/1713830400000000');
INSERT INTO "crm_stage_change" VALUES(4,'relationship','',11,'loyal','ordering',1713916800000000,1713916800000000,'placed an order',54,'shop/o39');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',1,'anonymous','ordering',1706400000000000,1706400000000000,'placed an order',14,'shop/o10');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',2,'ordering','new',1707609600000000,1707696000000000,'no word for 14 days, so the order is taken as received',14,'time/1707609600000000');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',3,'new','ordering',1707696000000000,1707696000000000,'placed an order',20,'shop/o15');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',4,'ordering','repeat',1708905600000000,1708992000000000,'no word for 14 days, so the order is taken as received',20,'time/1708905600000000');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',5,'repeat','ordering',1708992000000000,1708992000000000,'placed an order',27,'shop/o20');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',6,'ordering','repeat',1709078400000000,1709078400000000,'received the order',28,'shop/d20');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',7,'repeat','ordering',1711584000000000,1711584000000000,'placed an order',42,'shop/o30');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',8,'ordering','repeat',1712793600000000,1712880000000000,'no word for 14 days, so the order is taken as received',42,'time/1712793600000000');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',9,'repeat','ordering',1712880000000000,1712880000000000,'placed an order',48,'shop/o35');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',10,'ordering','loyal',1714089600000000,1714176000000000,'no word for 14 days, so the order is taken as received',48,'time/1714089600000000');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',11,'loyal','ordering',1714176000000000,1714176000000000,'placed an order',55,'shop/o40');
INSERT INTO "crm_stage_change" VALUES(5,'relationship','',12,'ordering','loyal',1714262400000000,1714262400000000,'received the order',56,'shop/d40');
CREATE TABLE crm_timer (
	plugin TEXT NOT NULL, 
	timer_key TEXT NOT NULL, 
	customer_id INTEGER NOT NULL, 
	due_at INTEGER NOT NULL, 
	run_at INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	parked_at INTEGER, 
	PRIMARY KEY (plugin, timer_key, customer_id)
)
 WITHOUT ROWID

;
INSERT INTO "crm_timer" VALUES('notebook','look',1,1713744000000000,1713744000000000,0,NULL);
INSERT INTO "crm_timer" VALUES('notebook','look',2,1712707200000000,1712707200000000,0,NULL);
INSERT INTO "crm_timer" VALUES('notebook','look',3,1714262400000000,1714262400000000,0,NULL);
INSERT INTO "crm_timer" VALUES('notebook','look',4,1714521600000000,1714521600000000,0,NULL);
INSERT INTO "crm_timer" VALUES('notebook','look',5,1714780800000000,1714780800000000,0,NULL);
CREATE INDEX crm_interaction_customer ON crm_interaction (customer_id, occurred_at);
CREATE INDEX crm_timer_run ON crm_timer (plugin, run_at) WHERE parked_at IS NULL;
CREATE INDEX crm_stage_next ON crm_stage (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX crm_identifier_customer ON crm_identifier (customer_id);
COMMIT;
