"""Refused: words of servers that refuse us or our mail, whomever it is for."""

from __future__ import annotations

from typing import Final

from crmcore_email_link.bounces.wording import Wording

_REFUSE: Final = r"(?:reject|refus|den[iy]|block|bann|disallow|prohibit|forbid|bounc|declin)\w*"
_MAIL: Final = r"(?:e-?mails?|mails?|messages?|mesg|content|attachments?|transaction|submission)"

LISTED: Final = (
    Wording(
        r"\b(?:spamhaus|spamcop|sorbs|barracudacentral|uceprotect|surbl|uribl|\w{0,20}dnsbl"
        r"|mailspike|senderscore|senderbase|invaluement|abuseat|backscatterer|njabl"
        r"|ipcheck\.proofpoint|csi\.cloudmark|postmaster\.(?:aol|yahooinc|comcast|att)"
        r"|sender\.office|mail\.live\.com/mail/\w+|blocks?\.\w+\.net)\b",
        "block",
        "names of block lists and of senders' help pages",
        raw=True,
    ),
    Wording(r"\b(?:dns)?[rd]?bls?\b", "block", "RFC 5782: DNS block lists"),
    Wording(r"(?:black|block|deny)[- ]?(?:hole|listed|lists?\b)", "block", "block lists"),
    Wording(r"reputation|sender ?base|senderscore", "block", "reputation"),
    Wording(r"(?<!not )(?<!isn't )\blisted (?:in|at|on|by|with)\b", "block", "block lists"),
    Wording(r"\bblocked? (?:using|by|due|because|for|at|from|list)\b", "block", "block lists"),
    Wording(
        r"(?:client|your|sending|connecting|originating) (?:host|ip|server|network|address"
        r"|smtp server|mta|mail ?server|isp|system)\b[^.;]{0,80}\b" + _REFUSE,
        "block",
        "Postfix `reject_rbl_client` and the like",
    ),
    Wording(r"\b(?:ip|your) (?:address|network|range)\b[^.;]{0,60}\b" + _REFUSE, "block", "by IP"),
    Wording(
        r"\b(?:black|invalid|remote|bad) ip\b|\bip is \w+|black mail|fake|rules? imposed"
        r"|(?:local|registered) users? only|only registered users|smtp mx only|helo ?host"
        r"|auth error|relay check|sender is un\w+",
        "block",
        "Coremail, Sina and others in China",
    ),
    Wording(r"\bs3140\b|\bs3150\b|part of their network is on our", "block", "Outlook.com"),
    Wording(r"\[(?:tss?|pss?|ph|bl|rbl|cs|gl|irs?)0?\d{1,2}\]", "block", "Yahoo and AOL codes"),
    Wording(r"\bas\(\d{3,5}\)|banned sending ip", "block", "Exchange Online Protection, 5.7.606"),
)

UNAUTHENTICATED: Final = (
    Wording(r"\b(?:spf|dkim|dmarc|arc|sender ?id|domain ?keys?)\b", "block", "RFC 7372, 9989"),
    Wording(r"sender policy framework", "block", "RFC 7208"),
    Wording(
        r"\bunauthenticated\b|not authenticated|authentication[- ](?:re\w+|fail\w+|check\w*"
        r"|information|level|needed|error)",
        "block",
        "RFC 7372",
    ),
    Wording(
        r"(?:must|need to|please|should) (?:first )?authenticate|smtp auth\b"
        r"|auth(?:entication)? (?:is |was |has )?(?:required|first|mechanism|fail\w*|denied)"
        r"|pop3?[- ]before[- ]smtp|smtp[- ]after[- ]pop"
        r"|(?:check|receive|retrieve|read|fetch|get) (?:your )?(?:e-?)?mails? (?:first|before)",
        "block",
        "RFC 4954",
    ),
    Wording(
        r"\bptr\b|reverse[- ](?:dns|hostname|lookup|name|mapping)|\brdns\b|\bfcrdns\b|(?:cannot"
        r"|can't|could not) (?:find|resolve) your",
        "block",
        "RFC 7372: reverse DNS",
    ),
    Wording(
        r"\b(?:helo|ehlo)\b[^.;]{0,80}(?:"
        + _REFUSE
        + r"|invalid|not|mismatch|bogus|syntax)|\byour (?:helo|ehlo)\b",
        "block",
        "greeting refused",
    ),
    Wording(
        r"starttls|\btls (?:is )?required|encryption (?:is )?(?:required|needed)",
        "block",
        "RFC 3207: encryption required",
    ),
    Wording(r"dynamic (?:ip|address)|dial-?up|residential", "block", "kind of network"),
)

SENDER: Final = (
    Wording(
        r"(?:sender|from address|return[- ]path|reverse[- ]path|mail ?from|originator"
        r"|envelope[- ]from|sending domain)(?: e-?mail)?(?: address| domain| \S{1,3}){0,2} (?:is "
        r"|was |has |been |are |could |can |domain |must |does |do )*(?:not? |n't )?(?:be )?(?:"
        + _REFUSE
        + r"|exist|unknown|invalid|verif\w+|found|resolv\w+|allowed|accepted|permitted"
        r"|authori[sz]ed|valid\b|match|fail|syntax)",
        "block",
        "RFC 3463, 3.2: the sender's address",
    ),
    Wording(
        r"(?:invalid|unknown|bad|illegal|forged|unverified|no valid) (?:sender|return[- ]path"
        r"|from address)|sender (?:is |was )?(?:not|isn't|n't)\b|isn't on the recipient's list"
        r"|mail from not|sender domain (?:is )?empty|e2110|unsigned dsn|bogus (?:mail|sender)"
        r"|unroute?able sender|from: (?:address|domain)|valid from\b|third-party dsn"
        r"|not a registered|empty e-?mail address",
        "block",
        "the sender's address",
    ),
    Wording(
        r"requires? (?:\w+ )?(?:confirm|verif|authenti|authori[sz])\w+|rule imposed"
        r"|a problem occurred\W{1,3}ask your postmaster|base64 encoding",
        "block",
        "several servers",
    ),
    Wording(
        r"(?:non-?members?|members?[- ]only|closed (?:mailing )?list|not (?:a )?(?:member"
        r"|subscribed)\b(?! of (?:the |this )?domain)|captcha|you are (?:a )?human)",
        "block",
        "lists for members",
    ),
    Wording(
        r"domain of (?:the )?sender|\bsender\b[^.;]{0,30}\bnot in\b|domain may not exist"
        r"|dns check failed|sender (?:address|domain)? ?(?:verify|verification|callout)"
        r"|(?<!callout )\bverification failed for @",
        "block",
        "sender verification",
    ),
    Wording(
        r"(?:don't|do not|does not|not|no longer|won't|refuse to) (?:accept|want|receive"
        r"|take)\w* (?:any )?(?:e-?mail|mails?|messages?) from\b",
        "block",
        "refuses the sender",
    ),
    Wording(
        r"(?:recipient|user|addressee|customer|owner|@)\W{1,3}(?:has |have )?(?:"
        + _REFUSE
        + r"|does not want|not interested) (?:your |this |mail|e-?mail|message|the sender)",
        "block",
        "the recipient refuses the sender",
    ),
    Wording(
        r"(?:un|not |n't )(?:allowed|authori[sz]ed|permitted)(?: to)? (?:send|post|submit|mail"
        r"|relay|email|use|deliver|connect)",
        "block",
        "RFC 3463, 3.8: not authorised",
    ),
    Wording(
        r"(?:not have|without|no|lack|need) (?:\w+ )?permissions?\b|\baup#",
        "block",
        "RFC 3463, 3.8: not authorised",
    ),
    Wording(
        r"\b(?:recipient|user|person|customer|member|addressee)(?:'s|s|s')? (?:e-?mail "
        r"|privacy )?(?:preferences?|settings?)\b|\b(?:preferences?|settings?) of (?:the |this "
        r"|your )?(?:recipient|user|person|customer|member|addressee)",
        "block",
        "Facebook and others: whom the recipient takes mail from",
    ),
    Wording(
        r"(?:mail ?from|sender|from|header|envelope|return[- ]path|domain|ip|helo)\b[^.;]{0,60}"
        r"\bmis-?match\w*|\bmis-?match\w*[^.;]{0,60}\b(?:mail ?from|sender|from|header"
        r"|envelope|ip)\b",
        "block",
        "the sender's address is not that of the mail",
    ),
    Wording(r"bounce address tag|\bbatv\b|(?:null|empty|<>) sender|backscatter", "block", "BATV"),
    Wording(
        r"(?:only|unless|must be).{0,40}(?:members|subscribers|(?:authori[sz]ed|known|trusted"
        r"|registered|certain|specific|listed) senders|contacts)|moderat(?:ed"
        r"|or) |resolver\.rst\.|senders? (?:allowed|restrict)",
        "block",
        "lists and restricted recipients",
    ),
    Wording(
        r"approved senders|allowed senders|whitelist|white list|allow-?list",
        "block",
        "refuses all senders but some",
    ),
)

RELAYING: Final = (
    Wording(
        r"relay(?:ing|ed)?\b[^.;]{0,60}(?:" + _REFUSE + r"|not|unable|restrict\w*|access|closed)",
        "block",
        "relaying denied",
    ),
    Wording(
        r"(?:unable|not|n't|cannot|no|won't|refuse) (?:\w+ ){0,3}relay|rcpthosts?|open relay"
        r"|\bas a relay|relaying mail|(?:don't|do not) handle mail|not local host"
        r"|unauthori[sz]ed relay|not a gateway|not (?:a|an open) relay|mail relay",
        "block",
        "relaying denied; qmail `rcpthosts`",
    ),
)

CONTENT: Final = (
    Wording(
        r"\bspam(?:my|ming|mers?|bot|assassin|trap|box|s)?\b(?! ?(?:filter|check)\w* pass)",
        "block",
        "spam",
    ),
    Wording(
        r"unsolicited|\bube\b|\buce\b|bulk (?:e-?mail|mail|sender|message)|mass[- ]?mail|junk",
        "block",
        "unsolicited mail",
    ),
    Wording(
        r"\b(?:message|mail) scored\b|\bscored? (?:of |is |was )?-?\d{1,3}(?:\.\d{1,2})? (?:points"
        r"|hits)|anti-?spam|probable spam|dspam|content (?:"
        + _REFUSE
        + r"|filter\w*|polic\w*|scan\w*|restrict\w*|analys\w*)",
        "block",
        "content filters",
    ),
    Wording(
        r"phish\w*|scam\b|fraud\w*|spoof\w*|malicious|suspicious|suspected|forged?\b|forgery",
        "block",
        "content filters",
    ),
    Wording(
        r"\bvirus(?:es)?\b(?! ?-?free)|malware|trojan|\bworm\b|infected|exploit",
        "block",
        "virus scanners",
    ),
    Wording(
        r"(?:prohibited|forbidden|banned|illegal|unacceptable|dangerous|executable|blocked|these"
        r"|certain|with) (?:file )?(?:attachment|content|extension|file|mime)",
        "block",
        "attachments refused",
    ),
    Wording(
        r"attachments?\b[^.;]{0,60}(?:" + _REFUSE + r"|not (?:be )?(?:accept|allow|permit)\w*)",
        "block",
        "attachments refused",
    ),
    Wording(
        r"(?:message|mail)s? (?:without|with(?: an?)? (?:in|un)\w+)|no resent-\w+|(?:missing"
        r"|invalid|duplicate|malformed|multiple|bad|illegal"
        r"|required)(?: or \w+)? (?:\S{1,12} )?(?:header|from[: ]field|date field|subject|mime"
        r"|message-id)",
        "block",
        "RFC 5322 not kept",
    ),
    Wording(
        r"(?:improperly|incorrectly|badly)[- ]form\w*|header error|multiple addresses"
        r"|fully qualified (?:e-?mail )?address|not accept(?:ing)? (?:mails?|messages?) (?:with"
        r"|contain)|low priority",
        "block",
        "several servers: content",
    ),
    Wording(
        r"(?:unsupported|unknown|unacceptable) (?:character[- ]?set|charset)"
        r"|not (?:accept|allow|take)\w* (?:any )?(?:e-?mails?|mails?|messages?) (?:in|written)\b"
        r"|too many attachments|attachment (?:count|number|limit)|number of attachments"
        r"|(?:invalid|malformed|corrupt\w*) (?:message |mail )?(?:data|structure|encoding)\b",
        "block",
        "several servers: content",
    ),
    Wording(
        r"(?:bare|stray) (?:lf|cr|newline|line ?feed|carriage)|line too long|8-?bit\b"
        r"|rfc ?\d{3,4}[- ]?(?:compl|viol)"
        r"|(?:not|non|n't)[- ]?(?:rfc|complian)\w*",
        "block",
        "RFC 5322 not kept",
    ),
)

POLICY: Final = (
    Wording(r"polic(?:y|ies)\b(?! ?-?free)", "block", "RFC 3463, 3.8: policy"),
    Wording(
        r"administrat\w+ (?:"
        + _REFUSE
        + r"|lock|reasons?)|security (?:reasons?|polic|violation|error|risk)|access (?:control|list"
        r"|rule)",
        "block",
        "policy",
    ),
    Wording(
        r"(?:rate|frequency|connections?|sessions?|sending|hourly|daily|volume)[- ]?(?:is |was "
        r"|has |been |too |number |of )*(?:limit|control|quota|exceed|restrict|high|throttl)\w*"
        r"|\b(?:daily|hourly|monthly|sending|relay\w*|outgoing|outbound|submission) (?:\w+ ){0,2}"
        r"(?:quota|limit|allowance)|\b(?:e-?mails?|messages?|recipients?) (?:per|an|a) (?:hour"
        r"|day|minute|month)\b",
        "block",
        "rates",
    ),
    Wording(
        r"throttl|too many (?:concurrent |simultaneous |bad |invalid |unknown |smtp "
        r"|recent )*(?:connections?|sessions?|commands?|recipients|errors|attempts|rcpts?|invalid"
        r"|complaints|e-?mails? from|messages? from|unknown users)",
        "block",
        "rates",
    ),
    Wording(
        r"unusual (?:rate|volume|amount|traffic)|user complaints?|complaints? (?:rate|from)"
        r"|abus\w+",
        "block",
        "complaints",
    ),
    Wording(
        r"local_scan|mailmarshal|milter|fingerprint|header test|filter rule", "block", "filters"
    ),
)

REFUSED: Final = (*LISTED, *UNAUTHENTICATED, *SENDER, *RELAYING, *CONTENT, *POLICY)
"""Words that decide even beside those of a missing address."""

GENERAL: Final = (
    Wording(
        _MAIL + r"\b(?: (?!address|box)\S{1,12})? (?:is |was |were |are |has |have |been |being "
        r"|content |had |can(?:not|'t)? |could |not |be )*(?:"
        + _REFUSE
        + r"|not accepted|discarded|quarantined|filtered|unacceptable|unwanted)",
        "block",
        "refuses the mail",
    ),
    Wording(
        r"\b"
        + _REFUSE
        + r" (?:your |this |the |e-?|a |any )*(?:mail|message|email|content|connection|session"
        r"|by (?:the )?(?:system|server|filter|rule|host|local|user|recipient|admin|policy|our"
        r"|security|content|firewall|gateway)|due|because|for )",
        "block",
        "refuses the mail",
    ),
    Wording(
        r"you(?:r|'re)? (?:are|have been|mail|e-?mail|message|domain)\b[^.;]{0,60}(?:"
        + _REFUSE
        + r"|not (?:allowed|accepted|welcome|wanted|permitted))",
        "block",
        "refuses the sender",
    ),
    Wording(r"(?<!recipient )\baddress rejected", "block", "often the sender's address"),
    Wording(
        r"(?:go away|not welcome|not wanted here|unwelcome|no thanks)",
        "block",
        "refuses the sender",
    ),
)
"""Words that decide only without those of a missing address or a full mailbox."""
