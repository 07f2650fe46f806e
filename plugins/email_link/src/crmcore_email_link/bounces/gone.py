"""Gone: words of servers that know no such address."""

from __future__ import annotations

from typing import Final

from crmcore_email_link.bounces.wording import Wording

_WHO: Final = (
    r"(?:users?|user ?(?:name|id)|recipients?|mail[- ]?box(?:es)?|e?mail ?box|inbox|accounts?"
    r"|address(?:es)?|addressee|destination(?! computer)|receiver|alias|login|employee|member"
    r"|subscriber|rcpt|customer|maildrop|maildir|person|local[- ]part|mail ?host|client name"
    r"|forward(?:ing)? address)"
)
_WHERE: Final = r"(?:domain(?: ?name)?|mail domain|host(?: ?name)?|mail ?server|destination)"
_ABSENT: Final = (
    r"(?:unknown(?! (?:error|reason|failure|status|problem|exception|command|code|mailer"
    r"|host \S))|not known|not found|no+n-? ?exist\w*|(?:does|dos|do|did|doe) ?(?:not|n't"
    r"|nt) exists?|doesn?'?t exist|(?<!may )(?<!might )not exist\w*|isn't exist\w*"
    r"|not recogni[sz]ed|unrecogni[sz]ed"
    r"|not listed|no longer (?:exist|valid|in use|with us|here|employed|works?)\w*|(?:could|can"
    r"|was)(?: ?not|n't) ?(?:be )?found|(?:is |are |was )?invalid|not (?:a )?valid|isn't valid"
    r"|not (?:in|on) (?:the |our |this )?(?:director|database|system|server|list|passwd"
    r"|local)\w*|undefined|unassigned|not (?:present|registered|here|local|defined|one of (?:our"
    r"|my)|hosted here|served here)|(?:has |have |was |is |been )+(?:removed|deleted|closed"
    r"|terminated|cancell?ed|discontinued|purged|abandoned))"
)

NULL_MX: Final = "RFC 7505: null MX"
"""A domain that says itself that it takes no mail; no code of a sending server softens that."""

CERTAIN: Final = (
    Wording(
        r"5\.4\.1 (?:\[?@\]?:? )?(?:all )?recipient address(?:es)? rejected ?: access denied",
        "hard",
        "Exchange Online: directory-based edge blocking",
    ),
    Wording(r"5\.1\.1 resolver\.adr\.\w*notfound|nosuchuser", "hard", "Exchange, Gmail", raw=True),
    Wording(r"\bnull ?mx\b", "hard", NULL_MX),
)
"""Words that decide though they look like a refusal."""

_GAP: Final = r"(?:[^.;!:]|\.(?=\w)){0,60}?"

MAILBOX: Final = (
    Wording(
        r"\b(?:address|mailbox|account) no longer (?:accepts?|receives?) (?:e-?)?mail"
        r"|no such (?:an? |recipient |virtual |local |mail |e-?mail |valid |mailing )*" + _WHO,
        "hard",
        "RFC 3463, 3.2: no such user",
    ),
    Wording(
        r"(?<!\bip )\b" + _WHO + r"\b" + _GAP + r"(?:[ (-]|: ?)" + _ABSENT + r"\b",
        "hard",
        "RFC 3463, 3.2: unknown user",
    ),
    Wording(
        r"\b(?:unknown|no+n-?existe?a?nt|invalid|bad|illegal|undefined|unrecogni[sz]ed|incorrect"
        r"|wrong|unroute?able|not a valid|isn't a valid|not a known|nonexisting|inexistent"
        r"|expired)(?: or \w+)? (?:local |remote |virtual |final |e-?mail |mail |smtp "
        r"|destination |delivery |target |intended |internet |to )*" + _WHO + r"\b(?! error)",
        "hard",
        "RFC 3463, 3.2: unknown user",
    ),
    Wording(
        r"\bunknown[-_ ]?(?:local[-_ ]?part|user|recipient)|\b(?:user|rcpt|recipient|mailbox"
        r"|to)_?(?:unknown|notfound|not_found|does_?not_?exist|invalid)|bad_recipient"
        r"|invalid_?recipient|\bnosuchuser\b|baduser|recipnotfound",
        "hard",
        "codes of servers",
    ),
    Wording(
        r"resolver\.adr\.(?:recip\w*notfound|ex\w*notfound|invalidinadr)",
        "hard",
        "Exchange: RESOLVER.ADR",
    ),
    Wording(
        r"(?:doesn't|does not|don't|do not) (?:have|know|recogni[sz]e)(?: an?| any| this| that"
        r"| the)? [^;]{0,50}" + _WHO,
        "hard",
        "Yahoo and others",
    ),
    Wording(
        r"(?:not|n't|cannot|could not|unable to|failed to|fails to) (?:find|locate"
        r"|identify|resolve|look ?up|match|verify|validate|confirm)(?: an?| any| the| this| that"
        r"| your)? (?:\S{1,20} )?" + _WHO,
        "hard",
        "RFC 3463, 3.2: unknown user",
    ),
    Wording(
        r"(?<!your )\b(?:account|mail ?box|address|user) (?:is |was |has |been |now |already "
        r"|permanently )*(?:closed|deleted|terminated|cancell?ed|discontinued|removed)\b"
        r"|no forwarding (?:information|address)",
        "hard",
        "RFC 3463, 3.2: closed for good",
    ),
    Wording(
        r"\b(?:recipients?|users?|mail ?box|addressee|rcpt|recipient address|destination address)"
        r"(?: \S{1,20})? (?:can|could)(?:not| not|n't) be (?:verified|validated|confirmed|located"
        r"|identified|resolved)",
        "hard",
        "RFC 3463, 3.2: unknown user",
    ),
    Wording(
        r"\bno (?:valid |active |local |matching |known )*(?:mail[- ]?box|users?|account"
        r"|mail ?drop)\b(?: here| available| found| by| with| exists| called| named| of|$"
        r"|[.,(: ])",
        "hard",
        "qmail: no mailbox here by that name",
    ),
    Wording(
        r"(?:not|n't|isn't|is not) (?:a|an|our|one of our) (?:valid |known |local |registered "
        r"|current |existing )*(?:user|customer|subscriber|mailbox|recipient|account"
        r"|address|employee)",
        "hard",
        "RFC 5321, 4.2.2: user not local",
    ),
    Wording(
        r"not listed in (?:public |the )?(?:name & address book|domino|directory|address)",
        "hard",
        "Lotus Notes, Domino",
    ),
    Wording(
        r"unknown recipient|recipient name is not recogni[sz]ed|no matches to nameserver",
        "hard",
        "Exchange 5.5, phquery",
    ),
    Wording(
        r"does not have a final email delivery|not our (?:user|cust)|unavailable: user not found"
        r"|unavailable mail user|not (?:a )?user of this|n't exists? that user"
        r"|there is no one at|not (?:a )?member of (?:the |this )?domain"
        r"|(?:doesn't|does not|don't|do not) (?:handle|take) (?:e-?)?mail for (?:that|this|the"
        r"|any) (?:user|recipient|address|mail ?box|account)",
        "hard",
        "several servers",
    ),
    Wording(
        r"(?:has |have )(?:left|quit|resigned|retired|moved to|passed away)|no longer (?:works?"
        r"|employed|with (?:us|the|this)|at this|an employee|associated|exist)"
        r"|user (?:has )?moved|has been replaced by|moved permanently|address (?:has )?changed"
        r"|please use the new",
        "hard",
        "RFC 3463, 3.2: moved",
    ),
    Wording(
        r"the e-?mail address (?:you entered|wasn't|was not|couldn't)|address not found"
        r"|wasn't found at|couldn't be found|address couldn't|email address wasn't found",
        "hard",
        "Exchange Online, Gmail: address not found",
    ),
)

DOMAIN: Final = (
    # An invalid domain, without more, may as well be that of the sender.
    Wording(
        r"\b(?:unknown|nonexist\w+|non-exist\w+|unrouteable|unroutable|(?:invalid"
        r"|illegal) (?:destination|remote|target)) (?:mail |destination |remote |e-?mail "
        r"|target )*" + _WHERE + r"\b",
        "hard",
        "RFC 3463, 3.2: bad destination system",
    ),
    Wording(
        r"\bno such (?:mail )?(?:domain|host)|domain must exist|\b"
        + _WHERE
        + r"\b"
        + _GAP
        + r"[ (:-]"
        + _ABSENT
        + r"\b(?!.{0,120}(?:try again|temporar|at this time))",
        "hard",
        "RFC 3463, 3.2: bad destination system",
    ),
    Wording(
        r"host or domain name not found(?!.{0,120}(?:try again|temporar))|nxdomain"
        r"|name or service not known|couldn't find (?:any host|a mail exchanger)"
        r"|no mx (?:or a )?(?:records?|found)|no valid mx hosts? found"
        r"|illegal host|nonexistent hosts?"
        r"|non-existent hosts?|dns hard error"
        r"|(?:invalid|bad|no) (?:dns )?mx\b[^.;]{0,40} records? for (?:the )?recipient(?:'s)?"
        r" domain",
        "hard",
        "name servers: no such domain",
    ),
    Wording(
        r"(?:domain|host|server|null mx|nullmx)\b[^.;]{0,40}(?:does not|doesn't|never"
        r"|no) accepts? (?:any )?(?:e-?)?mails?(?! from)|\bnull ?mx\b",
        "hard",
        "RFC 7504, 7505: takes no mail",
    ),
)

GONE: Final = (*MAILBOX, *DOMAIN)
