"""Replies: what servers say in a delivery report, and what is made of it (E21)."""

import pytest
from crmcore_email_link.bounces import classify

REPORT = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example.net>
To: b+aaaqeayeaudaocajbifqydiob4ibceq@shop.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_1"

--=_1
Content-Type: text/plain; charset=us-ascii

Your mail could not be delivered.

--=_1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Arrival-Date: Mon, 2 Nov 2026 10:00:00 +0000

Final-Recipient: rfc822; ada@example.com
Action: failed
Status: {status}
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; {reply}

--=_1
Content-Type: text/rfc822-headers

Message-ID: <news-1@shop.example>
Subject: News
To: ada@example.com

--=_1--
"""

# Each is a reply in the manner of the system named; the addresses and hosts are invented.
HARD = {
    "closed for good": "550 <ada@example.com>: Mailbox closed in 2019. No forwarding address left.",
    "cannot be verified": "550 The recipient could not be verified; look at the spelling",
    "cannot validate": "553 Failed to validate the address of the receiver",
    "not of the domain": "550 The user is not a member of this domain",
    "not handled": "550 This host does not handle mail for that account",
    "misspelt": "554 RCPT <ada@example.com> dosn't exist",
    "italian": "550 Casella inesistente",
    "italian, wrong": "550 indirizzo errato",
    "italian, abbreviated": "550 Dest. sconosciuto",
    "polish, no such": "550 Nie ma takiego adresu",
    "exchange online, edge, of all": "550 5.4.1 All recipient addresses rejected : Access denied",
    "a domain without mail": "DNS Error: the domain example.com publishes a Null MX record",
    "gmx, domain": "550 mailbox unavailable. Invalid DNS MX or A record for recipient domain",
    "1&1, domain": "no valid MX hosts found for example.com",
    "qmail, closed": "This address no longer accepts mail.",
    "gmail": "550-5.1.1 The email account that you tried to reach does not exist. Please try "
    "550-5.1.1"
    " double-checking the recipient's email address for typos or unnecessary spaces. For more"
    " information, go to 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser a1si1 - gsmtp",
    "gmail, since 2022": "550-5.2.1 The email account that you tried to reach does not exist. 550"
    " https://support.google.com/mail/?p=NoSuchUser x9-y gsmtp",
    "outlook.com": "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)."
    " [AM0EUR02FT036.eop-EUR02.prod.protection.outlook.com]",
    "outlook.com, older": "550 Requested action not taken: mailbox unavailable",
    "exchange online, edge": "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"
    " [VE1EUR02FT049.eop-EUR02.prod.protection.outlook.com]",
    "exchange online": "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ada@example.com not "
    "found"
    " by SMTP address lookup",
    "exchange 2010": "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found",
    "exchange online, domain": "550 5.4.310 DNS domain example.com does not exist"
    " [Message=InfoDomainNonexistent]",
    "yahoo": "554 delivery error: dd This user doesn't have a yahoo.com account (ada@yahoo.com) [0]"
    " - mta1234.mail.gq1.yahoo.com",
    "yahoo, now": "552 1 Requested mail action aborted, mailbox not found",
    "aol": "550 5.1.1 <ada@aol.com>: Recipient address rejected: aol.com",
    "icloud": "550 5.1.1 <ada@icloud.com>: user does not exist",
    "postfix, local": "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in "
    "local"
    " recipient table",
    "postfix, virtual": "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in"
    " virtual mailbox table",
    "postfix, domain": "Host or domain name not found. Name service error for name=example.com "
    "type=A:"
    " Host not found",
    "postfix, mailbox, policy code": "554 5.7.1 <ada@example.com>: Recipient address rejected:"
    " Nonexistent user",
    "sendmail": "550 5.1.1 <ada@example.com>... User unknown",
    "sendmail, host": "550 5.1.2 <ada@example.com>... Host unknown (Name server: example.com: "
    "host not"
    " found)",
    "exim": "550 Unrouteable address",
    "exim, no such": "550 No Such User Here",
    "qmail": "511 sorry, no mailbox here by that name (#5.1.1 - chkuser)",
    "courier": "550 User unknown.",
    "zimbra": "550 5.1.1 <ada@example.com>: Recipient address rejected: example.com",
    "gmx and web.de": "550 Requested action not taken: mailbox unavailable For explanation visit"
    " https://postmaster.gmx.net/en/error-messages?ip=192.0.2.7",
    "t-online": "550 user unknown",
    "mail.ru": "550 Message was not accepted -- invalid mailbox. Local mailbox ada@mail.ru is"
    " unavailable: user not found",
    "yandex": "550 5.7.1 No such user!",
    "qq": "550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728",
    "qq, in chinese": "550 收件人邮箱不存在, 请核对后再发送",
    "163": "550 User not found: ada@163.com",
    "163, in chinese": "550 找不到该用户",
    "aliyun": "550 RCPT TO: recipient not exist: ada@aliyun.com",
    "aliyun, in chinese": "550 收件人地址错误或者账号不存在",
    "sina": "550 user ada@sina.com is unknown",
    "docomo": "550 Unknown user ada@docomo.ne.jp",
    "ezweb": "550 <ada@ezweb.ne.jp>: User unknown",
    "orange": "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient."
    " OFR_416 [416]",
    "free.fr": "550 5.1.1 <ada@free.fr>: Recipient address rejected: User unknown in relay "
    "recipient"
    " table",
    "polish": "501 5.1.3 Odbiorca <ada@wp.pl> nie istnieje / Recipient does not exist",
    "proofpoint": "550 5.1.1 User Unknown",
    "mimecast": "550 Invalid Recipient - https://community.mimecast.com/docs/DOC-1369#550",
    "barracuda": "550 permanent failure for one or more recipients (ada@example.com:550 5.1.1"
    " <ada@example.com>: Recipient address rejected: undeliverable address)",
    "ironport": "5.1.0 - Unknown address error 550-'5.1.1 <ada@example.com>: user unknown'",
    "null mx": "556 5.1.10 Domain does not accept mail (nullMX)",
    "groupwise": "550 No such recipient",
    "domino": "550 ada@example.com... No such user",
    "moved": "551 User has moved; please try <ada@example.org>",
    "local part": "553 5.1.3 Invalid local part in address",
    "apache james": "550 5.1.1 Unknown user: ada@example.com",
    "communigate": "550 ada@example.com unknown user account",
    "mdaemon": "550 ada@example.com, Recipient unknown",
    "hmailserver": "550 Unknown user",
    "comcast": "550 5.1.1 Not our Customer",
    "charter": "550 5.1.1 Quai1i017301 Invalid recipient: <ada@charter.net> E3210",
    "zoho": "550 5.1.1 <ada@example.com>... User Unknown",
    "owner changed": "550 5.7.17 Mailbox owner has changed",
    "spanish": "550 El usuario no existe",
    "german": "550 5.1.1 Empfänger unbekannt",
}
SOFT = {
    "not an active one": "550 That is not an active account",
    "gmail, full": "452-4.2.2 The email account that you tried to reach is over quota. Please "
    "direct"
    " 452-4.2.2 the recipient to 452 4.2.2 https://support.google.com/mail/?p=OverQuotaTemp - "
    "gsmtp",
    "gmail, full for good": "552-5.2.2 The email account that you tried to reach is over quota and"
    " inactive. gsmtp",
    "gmail, disabled": "550 5.2.1 The email account that you tried to reach is disabled. gsmtp",
    "gmail, rate": "450-4.2.1 The user you are trying to contact is receiving mail at a rate that"
    " prevents additional messages from being delivered. gsmtp",
    "outlook.com": "552 5.2.2 mailbox full",
    "exchange online": "554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException",
    "exchange, expired": "550 4.4.7 QUEUE.Expired; message expired",
    "yahoo": "552 5.2.2 ada@yahoo.com mailbox over quota",
    "yahoo, disabled": "554 delivery error: dd Sorry your message to ada@yahoo.com cannot be "
    "delivered."
    " This account has been disabled or discontinued [#102].",
    "postfix, quota": "552 5.2.2 <ada@example.com>: Recipient address rejected: Mailbox quota "
    "exceeded",
    "dovecot": "552 5.2.2 <ada@example.com> Quota exceeded (mailbox for user is full)",
    "icloud": "552 5.2.2 <ada@icloud.com>: user is over quota",
    "web.de": "552 Requested mail action aborted: exceeded storage allocation. Quota exceeded.",
    "greylisting": "450 4.7.1 <ada@example.com>: Recipient address rejected: Greylisted, see"
    " http://postgrey.schweikert.ch/help/example.com.html",
    "timed out": "connect to mx.example.com[192.0.2.1]:25: Connection timed out",
    "refused": "connect to mx.example.com[192.0.2.1]:25: Connection refused",
    "lost": "lost connection with mx.example.com[192.0.2.1] while receiving the initial server "
    "greeting",
    "loop": "mail for example.com loops back to myself",
    "hops": "554 5.4.6 Too many hops",
    "name servers": "Host or domain name not found. Name service error for name=example.com "
    "type=MX:"
    " Host not found, try again",
    "too large": "552 5.3.4 Message size exceeds fixed limit",
    "too large, exchange": "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this "
    "recipient",
    "not now": "451 4.3.0 Temporary lookup failure",
    "disk": "452 4.3.1 Insufficient system storage",
    "unknown user for now": "450 4.1.1 <ada@example.com>: Recipient address rejected: unverified"
    " address: user unknown",
    "qq": "552 邮箱空间已满",
    "163": "552 Quota exceeded, the user's mailbox is full: ada@163.com",
    "163, frozen": "550 User suspended: ada@163.com",
    "aliyun": "552 对方邮箱容量不足",
    "suspended": "550 [SUSPEND] Mailbox currently suspended - Please contact correspondent "
    "directly",
    "frozen": "550 5.2.1 Mailbox is frozen",
    "inactive": "550 5.2.1 <ada@example.com>... Mailbox disabled for this recipient",
    "polish": "552 5.2.2 Skrzynka odbiorcy jest przepełniona",
    "french": "552 5.2.2 La boîte du destinataire est pleine",
    "command": "Command died with status 75: maildrop. Command output: unable to open mailbox",
}
BLOCK = {
    "sending limit": "550 The daily relay limit of your host is used up",
    "relay quota": "554 You are over your hourly relay quota",
    "mails an hour": "550 shop.example sends more than 200 messages per hour",
    "connections": "432 4.3.2 Connections limit exceeded",
    "auth failed": "553 AUTH FAILED for shop@shop.example",
    "pop before smtp": "550 Check your mail before you send any (POP-before-SMTP)",
    "your name": "550 Your HELO name was 'localhost'",
    "sender elsewhere": "550 Sender shop@shop.example is not in our domain",
    "sender's domain, at qq": "550 Domain may not exist or DNS check failed [IP: 192.0.2.1]",
    "sender, mismatch": "550 The envelope address and the header From mismatch",
    "known senders": "550 Ada only accepts mail of known senders",
    "preferences": "550 5.1.1 Refused: preferences of the recipient",
    "no member of the list": "510 5.1.1 shop@shop.example is not subscribed to that group",
    "captcha": "550 Held: please show that you are human",
    "data": "554 5.5.2 Malformed structure",
    "language": "550 We do not accept mail in this language",
    "attachments": "552 The limit is 5: too many attachments",
    "stray": "550 There is a stray CR in it",
    "scored": "550 Your message scored 11.2 points",
    "polish, spam": "550 Odrzucona: system antyspamowy",
    "french, refused": "550 Le message a \u00e9t\u00e9 refus\u00e9",
    "spanish, refused": "554 Mensaje rechazado",
    "exim, sender": "550-Verification failed for <b+1@shop.example>",
    "gmail, spam": "550-5.7.1 [192.0.2.1 12] Our system has detected that this message is likely"
    " unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked."
    " 550 5.7.1 https://support.google.com/mail/?p=UnsolicitedMessageError gsmtp",
    "gmail, authentication": "550-5.7.26 Your email has been blocked because the sender is"
    " unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM. gsmtp",
    "gmail, dmarc": "550-5.7.26 Unauthenticated email from shop.example is not accepted due to "
    "domain's"
    " DMARC policy. gsmtp",
    "gmail, ptr": "550-5.7.25 The IP address sending this message does not have a PTR record "
    "setup, or"
    " the corresponding forward DNS entry does not match the sending IP. gsmtp",
    "gmail, rate": "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating "
    "from"
    " your IP address. gsmtp",
    "gmail, limit": "550-5.4.5 Daily user sending limit exceeded. gsmtp",
    "outlook.com, list": "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please "
    "contact"
    " your Internet service provider since part of their network is on our block list (S3140).",
    "outlook.com, 515": "550 5.7.515 Access denied, sending domain shop.example doesn't meet the "
    "required"
    " authentication level. The sender's domain in the 5322.From address doesn't meet the"
    " authentication requirements",
    "outlook.com, dmarc": "550 5.7.509 Access denied, sending domain shop.example does not pass "
    "DMARC"
    " verification and has a DMARC policy of reject.",
    "exchange online, banned": "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To "
    "request"
    " removal from this list please visit https://sender.office.com/",
    "exchange online, spam": "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 "
    "compliant"
    " and include a valid From address",
    "exchange, restricted": "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; "
    "authentication"
    " required; Delivery restriction check failed",
    "exchange, rule": "550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by "
    "organization"
    " policy",
    "yahoo, policy": "554 5.7.9 Message not accepted for policy reasons. See"
    " https://postmaster.yahooinc.com/error-codes",
    "yahoo, deferred": "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to "
    "unexpected"
    " volume or user complaints",
    "yahoo, ph01": "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
    "aol": "554 5.7.1 : (DNS:B1) https://postmaster.aol.com/error-codes#554dnsb1",
    "spamhaus": "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
    "zen.spamhaus.org;"
    " https://www.spamhaus.org/query/ip/192.0.2.1",
    "spamcop": "550 Rejected: 192.0.2.1 listed at bl.spamcop.net",
    "barracuda": "550 5.7.1 Service unavailable; client [192.0.2.1] blocked using Barracuda "
    "Reputation",
    "att": "521 5.2.1 AUP#In-2120 blocked by sbc:blacklist.mailrelay.att.net. DNSRBL: Blocked for "
    "abuse.",
    "comcast": "554 resimta-po-01v.sys.comcast.net comcast 192.0.2.1 Comcast block for spam. "
    "BL000000",
    "icloud": "550 5.7.1 [CS01] Message rejected due to local policy. Please visit"
    " https://support.apple.com/en-us/HT204137",
    "gmx": "554 Transaction failed Reject due to policy restrictions. For explanation visit"
    " https://postmaster.gmx.net/en/case?c=hi",
    "t-online": "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact"
    " tosa@rx.t-online.de to clarify.) (BL)",
    "postfix, client": "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied",
    "postfix, helo": "504 5.5.2 <shop>: Helo command rejected: need fully-qualified hostname",
    "postfix, sender": "550 5.1.8 <news@shop.example>: Sender address rejected: Domain not found",
    "postfix, relay": "554 5.7.1 <ada@example.com>: Relay access denied",
    "sendmail, relay": "550 5.7.1 <ada@example.com>... Relaying denied",
    "qmail, rcpthosts": "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "exim, sender verify": "550 Sender verify failed",
    "exim, policy": "550 Administrative prohibition",
    "spf": "550 5.7.23 SPF validation failed",
    "spf, at the name of an unknown user": "553 Sender Policy Framework (SPF) fail",
    "dkim": "550 5.7.20 No passing DKIM signature found",
    "virus": "554 5.6.1 Message contains a virus: Eicar-Test-Signature",
    "attachment": "552 5.7.0 This message was blocked because its content presents a potential "
    "security"
    " issue",
    "content": "554 5.7.1 Message rejected due to content restrictions",
    "score": "550 5.7.1 Spam score (12.9) too high",
    "mimecast": "550 Rejected by header based manually Blocked Senders - block policy",
    "proofpoint": "554 5.7.0 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
    "cloudmark": "550 5.7.1 Mail rejected; see https://csi.cloudmark.com/en/reset/?ip=192.0.2.1",
    "qq, frequency": "550 Connection frequency limited."
    " http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000722",
    "qq, content": "550 Mail content denied. http://service.mail.qq.com/cgi-bin/help?subtype=1&&no=1000726",
    "qq, recipient's list": "550 Mail is rejected by recipients [QLhGc3Ayd4 IP: 192.0.2.1].",
    "qq, in chinese": "550 该邮件内容涉嫌大量群发, 并且被多数用户投诉为垃圾邮件",
    "163, spam": "554 DT:SPM 163 mx11,TsCowABXyDs9Pi1l,1697463869"
    " http://mail.163.com/help/help_spam_16.htm?ip=192.0.2.1",
    "163, spf": "550 MI:SPF 163 mx3 http://mail.163.com/help/help_spam_16.htm",
    "163, rate": "421 RP:TRC 163 mx8",
    "aliyun": "554 Reject by content spam at DATA from mail server",
    "aliyun, in chinese": "554 对方服务器拒收, 发信频率过高",
    "mail.ru": "550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c=abc",
    "yandex": "554 5.7.1 Message rejected under suspicion of SPAM; https://ya.cc/1IrBc",
    "moderated": "550 5.7.1 Message rejected: only members may post to this list",
    "from header": "550 Messages without a From: field are not accepted here",
    "orange": "550 5.7.1 Service refuse. Veuillez essayer plus tard. Service refused, please try "
    "later."
    " OFR_506 [506] Blocked due to reputation",
    "ironport": "5.1.0 - Unknown address error 550-'5.7.1 Your message was rejected due to poor"
    " reputation'",
    "tls": "530 5.7.0 Must issue a STARTTLS command first",
    "auth": "530 5.7.1 Authentication required",
}
CASES = [
    pytest.param(kind, reply, id=f"{kind}: {name}")
    for kind, table in (("hard", HARD), ("soft", SOFT), ("block", BLOCK))
    for name, reply in table.items()
]


def with_reply(reply, status="5.0.0"):
    """Return a report that quotes a reply."""
    return classify(REPORT.format(reply=reply, status=status).encode())


@pytest.mark.parametrize(("kind", "reply"), CASES)
def test_e21_a_reply_says_what_it_says(kind, reply):
    """The words of the refusing server decide, with a status that says nothing beside them."""
    report = with_reply(reply, "4.0.0" if reply.startswith("4") else "5.0.0")

    assert kind == report.kind
    assert ("ada@example.com", kind) == (report.recipients[0].address, report.recipients[0].kind)
    assert report.evidence
    assert "news-1@shop.example" == report.message_id


@pytest.mark.parametrize(("kind", "reply"), CASES)
@pytest.mark.parametrize("end", ["\r\n", "\r"], ids=["CRLF", "CR"])
def test_e21_line_ends_change_no_reply(kind, reply, end):
    """What a server said is the same with LF, CRLF and CR."""
    status = "4.0.0" if reply.startswith("4") else "5.0.0"
    raw = REPORT.format(reply=reply, status=status)

    assert classify(raw.encode()) == classify(raw.replace("\n", end).encode())


def test_e21_a_domain_that_takes_no_mail_is_gone_whatever_the_sender_s_server_makes_of_it():
    """A null MX (RFC 7505) is for good, though a relay reports 4.0.0; other words are softened."""
    assert "hard" == with_reply("DNS Error: example.com has a null MX", "4.0.0").kind
    assert "soft" == with_reply("DNS Error: example.com is unknown, host not found", "4.0.0").kind


@pytest.mark.parametrize("reply", BLOCK.values(), ids=BLOCK)
def test_e21_a_refusal_of_ours_never_gives_anybody_up(reply):
    """Sendmail reports 5.1.1, an unknown user, for all that is refused at RCPT: no proof."""
    assert "hard" != with_reply(reply, "5.1.1").kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(f"5.1.{n}", "hard") for n in (1, 2, 3, 6, 10)],
        *[(f"5.1.{n}", "block") for n in (7, 8)],
        *[(status, "soft") for status in ("5.2.1", "5.2.2", "5.3.4", "5.4.6", "5.5.2", "4.1.1")],
        *[(status, "soft") for status in ("5.0.0", "4.4.7", "5.1.0", "5.2.0", "5.4.4", "4.2.2")],
        *[(f"5.7.{n}", "block") for n in (0, 1, 9, 26, 27, 509, 515, 606, 708)],
        *[(status, "block") for status in ("5.6.0", "5.6.1", "4.7.0", "4.7.28")],
        *[(f"5.7.{n}", "hard") for n in (17, 18)],
    ],
)
def test_e21_a_status_decides_without_words(status, kind):
    """Where nothing is quoted, the enhanced status code says what it says by RFC 3463."""
    report = with_reply("500 Rrr", status)

    assert kind == report.kind
    assert status == report.recipients[0].status
    assert "Status" == report.evidence[0].part
    assert status == report.evidence[0].words


def test_e21_what_is_transient_is_not_for_good():
    """An unknown user that the server calls transient is asked for again, by its code or status."""
    assert "soft" == with_reply("450 4.1.1 user unknown", "4.1.1").kind
    assert "soft" == with_reply("user unknown", "4.1.1").kind
    assert "hard" == with_reply("550 user unknown", "4.4.7").kind


def test_e21_whom_a_server_does_not_know_before_any_recipient_is_the_sender():
    """`MAIL FROM` names us alone, so nobody is given up for what is said to it."""
    raw = REPORT.format(reply="553 mx.shop.example does not exist", status="5.0.0")

    def kind(step):
        text = f"<ada@example.com>: it said 553 (in reply to\n    {step} command)."
        return classify(raw.replace("Your mail could not be delivered.", text).encode()).kind

    assert ("block", "block") == (kind("MAIL FROM"), kind("EHLO"))
    assert ("hard", "hard") == (kind("RCPT TO"), kind("end of DATA"))
    assert "hard" == classify(raw.encode()).kind


def test_e21_a_host_is_no_evidence():
    """The name of a server or an address that holds a word of blocking says nothing."""
    said = "host mx.spam-filter.example.com said: 550 <spam@block.example.com>: unknown user"

    assert "hard" == with_reply(said).kind
    assert "hard" == with_reply("550 no such user at antispam.policy.example.com").kind
