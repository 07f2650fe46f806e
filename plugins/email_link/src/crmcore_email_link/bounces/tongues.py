"""Tongues: the same words in other languages, and the codes of providers in China."""

from __future__ import annotations

from typing import Final

from crmcore_email_link.bounces.wording import Wording

# Chinese providers say both a code, in English, and a sentence; the sentence may come alone.
CHINESE_REFUSED: Final = (
    Wording(
        r"\b(?:dt|mi|rp|hl|im|qt|cm):[a-z]{3}\b", "block", "NetEase (163, 126) codes", raw=True
    ),
    Wording(
        r"垃圾邮件|疑似(?:垃圾|病毒|广告)|群发|广告邮件|病毒|敏感|违规|违反|涉嫌|不良(?:内容|信息)",
        "block",
        "QQ, 163, Aliyun: content",
    ),
    Wording(
        r"(?:拒收|拒绝(?:接收|接受|投递|了)?|屏蔽|拦截|退信策略|黑名单|白名单|禁止|限制发送|封禁|反垃圾|信誉|投诉|未经授权)(?!地址)",
        "block",
        "QQ, 163, Aliyun: refused",
    ),
    Wording(
        r"频率|过于频繁|发信(?:量|次数|过多)|连接数|超过.{0,12}(?:发送|发信).{0,8}限|域名.{0,12}(?:解析|认证|验证).{0,6}(?:失败|未通过)"
        r"|发件人.{0,12}(?:不存在|无效|验证)",
        "block",
        "QQ, 163, Aliyun: rates and sender",
    ),
    Wording(
        r"mail(?:box)? content denied|connection frequency limited|domain frequency limited"
        r"|mail is rejected by recipients|ip frequency|suspected spam|anti-?spam",
        "block",
        "QQ codes",
    ),
)
CHINESE_GONE: Final = (
    Wording(
        r"(?:用户|收件人|邮箱|帐[号户]|账[号户]|地址|域名|邮件地址|收信人|收件箱)[^。;!\n]{0,60}(?:不存在|没有找到|找不到|未找到|无效|错误|已注销"
        r"|被注销|已删除|不正确|查无|不可用)",
        "hard",
        "QQ, 163, Aliyun: no such user",
    ),
    Wording(
        r"(?:不存在的?|无效的?|错误的?|未知的?|没有这个|查无此|找不到(?:该|此|这个)?)[^。;!\n]{0,20}(?:用户|收件人|邮箱|帐号|账号|人|地址"
        r"|域名)",
        "hard",
        "QQ, 163, Aliyun: no such user",
    ),
    Wording(
        r"(?:用戶|收件者|收件人|信箱|帳[號戶])[^。;!\n]{0,40}(?:不存在|找不到|無效|錯誤)",
        "hard",
        "traditional Chinese: no such user",
    ),
)
CHINESE_PASSING: Final = (
    Wording(
        r"(?:邮箱|信箱|空间|容量|帐号|账号|磁盘|邮筒)[^。;!\n]{0,30}(?:已?满|不足|超[过出]|超限|已用完)|(?:满|超过).{0,8}(?:容量|空间"
        r"|配额)|配额",
        "soft",
        "QQ, 163, Aliyun: mailbox full",
    ),
    Wording(
        r"(?:帐号|账号|邮箱|用户|帳號)[^。;!\n]{0,30}(?:停用|冻结|锁定|禁用|暂停|未激活|休眠|停權)",
        "soft",
        "QQ, 163, Aliyun: suspended",
    ),
    Wording(
        r"(?:邮件|附件|信件)[^。;!\n]{0,20}(?:过大|太大|超[过出])|大小.{0,10}(?:超|限)",
        "soft",
        "QQ, 163, Aliyun: too large",
    ),
    Wording(
        r"超时|稍后|重试|无法连接|连接失败|服务器.{0,12}(?:繁忙|异常|错误|无响应|忙)|暂时",
        "soft",
        "QQ, 163, Aliyun: for now",
    ),
)

_NO: Final = (
    # German, French, Spanish and Portuguese, Italian, Dutch, Polish, Nordic, Turkish, Russian
    r"unbekannt\w*|existiert nicht|nicht (?:gefunden|vorhanden|bekannt|existent|g[uü]ltig)"
    r"|ung[uü]ltig\w*|n'existe (?:pas|plus)|inconnue?s?|inexistante?s?|introuvable|non valide"
    r"|no existe\w*|desconocid[oa]s?|inexistente|n[aã]o existe|desconhecid[oa]|no (?:fue"
    r"|ha sido) encontrad[oa]|inv[aá]lid[oa]|sconosciut[oa]|non esiste|non (?:valido|trovato)"
    r"|inesistent[ei]|errat[oa]|erron[eé][oae]?|err[oó]ne[oa]|incorrect[oa]|niet gevonden"
    r"|bestaat niet|onbekend\w*|nie istnieje|nie ma (?:takie\w+|tej)|nie znaleziono"
    r"|nieznany|nieprawid[lł]owy|finns inte|findes ikke"
    r"|ok[aä]nd|bulunamad[\u0131i]|ge[cç]ersiz|не (?:существует|найден\w*|зарегистрирован\w*)"
    r"|неизвест\w+|несуществующ\w+|neexistuje|nem l[eé]tezik|не існує"
)
_WHO: Final = (
    r"(?:empf[aä]nger\w*|benutzer\w*|postfach|adress?\w*|kont[oa]|teilnehmer|mailbox|utilisateur"
    r"|compte|destinataires?|bo[iî]te|usuario|destinatario|destinat[aá]rio|buz[oó]n|cuenta|conta"
    r"|usu[aá]rio|direcci[oó]n|endere[cç]o|caixa|utente|casella|indirizzo|gebruiker|ontvanger"
    r"|postbus|odbiorca|u[zż]ytkownik|skrzynka|anv[aä]ndare\w*|mottagare\w*|bruger"
    r"|kullan[\u0131i]c[\u0131i]|al[\u0131i]c[\u0131i]|пользовател\w+|получател\w+|адрес\w*|ящик\w*"
    r"|почтов\w+|user|recipient|dom[aä]in\w*|domain|dominio|domaine|домен\w*|uživatel|felhasználó)"
)

REFUSED: Final = (
    *CHINESE_REFUSED,
    Wording(
        r"迷惑メール|スパム|受信拒否|拒否され|スパムメール|스팸|차단|거부",
        "block",
        "Japanese, Korean: refused",
    ),
    Wording(
        r"(?:abgelehnt|verweigert|zur[uü]ckgewiesen)\W.{0,60}(?:absender|richtlinie|spam|inhalt)"
        r"|\bant[iy]-?spam\w*|\bpourriel|ind[eé]sirable|correo no deseado|posta indesiderata"
        r"|спам\w*|вирус\w*|politique de|pol[ií]tica de|richtlinien?|политик\w+",
        "block",
        "several languages",
    ),
)
GONE: Final = (
    *CHINESE_GONE,
    Wording(
        r"(?:宛先|ユーザ|アカウント|メールアドレス|メールボックス|受信者|送信先)[^。\n]{0,40}"
        r"(?:不明|存在しま|存在しな|見つか|無効|正しくあ|ありません|誤り)"
        r"|あて先不明|宛先不明"
        r"|(?:사용자|계정|수신자|메일 ?주소|받는 ?사람)[^.\n]{0,30}"
        r"(?:없|존재하지|찾을 수|알 수 없)",
        "hard",
        "Japanese, Korean: no such user",
    ),
    Wording(
        r"\b" + _WHO + r"\b[^.;!\n]{0,60}?(?:" + _NO + r")",
        "hard",
        "several languages: no such user",
    ),
    Wording(
        r"\b(?:dest|destin|empf|indir|usu|utilis)\. ?(?:" + _NO + r")",
        "hard",
        "several languages: no such user, abbreviated",
    ),
    Wording(
        r"(?:" + _NO + r")(?:\W{1,3}\w{0,3}){0,2} ?" + _WHO + r"\b",
        "hard",
        "several languages: no such user",
    ),
)
PASSING: Final = (
    *CHINESE_PASSING,
    Wording(
        r"容量(?:を?超|オーバー|制限)|(?:メールボックス|受信箱).{0,20}(?:いっぱい|一杯|満杯|超え)|(?:용량|메일함).{0,12}(?:초과|가득)",
        "soft",
        "Japanese, Korean: mailbox full",
    ),
    Wording(
        r"(?:postfach|konto|mailbox|quota|speicher\w*)\b.{0,40}(?:voll\b|[uü]berf[uü]llt"
        r"|[uü]berschritten|ersch[oö]pft)|zu ?viele mails|bo[iî]te.{0,40}pleine|quota d[eé]pass"
        r"|espace (?:disque )?insuffisant|buz[oó]n.{0,30}llen[oa]|cuota|caixa.{0,40}cheia|excedeu"
        r"|casella.{0,40}piena|spazio (?:esaurito|insufficiente)|vol(?:le)? (?:postvak|mailbox)"
        r"|(?:postvak|mailbox) (?:is |zit )?vol\b|skrzynka.{0,30}(?:pe[lł]na|przepe[lł]nion)"
        r"|przekrocz\w+|переполнен\w*|превышен\w*|квот\w+|kutusu dolu|kotan[\u0131i]z"
        r"|fullt?\b.{0,20}(?:brevl[aå]da|postl[aå]da)",
        "soft",
        "several languages: mailbox full",
    ),
    Wording(
        r"deaktiviert|gesperrt|stillgelegt|d[eé]sactiv[eé]\w*|suspendu\w*|desactivad[oa]"
        r"|disattivat[oa]|bloquead[oa]|отключ[её]н\w*|заблокирован\w*|uitgeschakeld|zablokowan\w+",
        "soft",
        "several languages: suspended",
    ),
    Wording(
        r"vor[uü]bergehend|sp[aä]ter (?:noch|erneut|wieder)|temporairement|ult[eé]rieurement"
        r"|temporalmente|m[aá]s tarde|temporaneamente|временно|позже|tijdelijk|tymczasowo|一時的",
        "soft",
        "several languages: for now",
    ),
)
GENERAL: Final = (
    Wording(
        r"\b(?:abgelehnt|abgewiesen|zur[uü]ckgewiesen|verweigert|geweigerd|afgewezen|rifiutat[oa]"
        r"|respint[oa]|rechazad[oa]|rejeitad[oa]|recusad[oa]|rejet(?:é|ée|és|ées|ee|ees)|refus(?:é|ée|és|ées|ee)"
        r"|odrzucon\w+"
        r"|avvisa[dt]\w*|avvist|afvist|odm[ií]tnut\w*|elutas[ií]t\w*|reddedildi|отклон[её]н\w*"
        r"|отвергнут\w*)\b",
        "block",
        "several languages: refused, nobody says why",
    ),
)
