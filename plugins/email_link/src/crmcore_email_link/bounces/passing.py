"""Passing: words of servers that will not take a mail now, and may later."""

from __future__ import annotations

from typing import Final

from crmcore_email_link.bounces.wording import Wording

FULL: Final = (
    Wording(r"quota|over-?quota|\boverquota", "soft", "RFC 3463, 3.3: mailbox full"),
    Wording(
        r"(?:mail ?box|inbox|mail ?folder|maildir|account|folder|mail ?drop|spool|disc|disk"
        r"|store|storage)(?: [^\s.;]{1,40}){0,4}? (?:is |was |has |been |are |too |almost "
        r"|already )*(?:full|exceed\w*|overdrawn|over (?:its|the)|reached|overflow\w*)",
        "soft",
        "RFC 3463, 3.3: mailbox full",
    ),
    Wording(
        r"(?:full|overfull|overflowing|crowded) (?:mail ?box|inbox|account|folder|disk)",
        "soft",
        "RFC 3463, 3.3: mailbox full",
    ),
    Wording(
        r"(?:insufficient|not enough|no|out of|low|lack of|too little|limited"
        r"|exceed\w*)(?: \S+){0,3} (?:storage|disk|disc|space|memory|room)|space not enough"
        r"|storage allocation|no space left|space limit|disk ?space",
        "soft",
        "RFC 5321, 4.2.2: 452, 552",
    ),
    Wording(
        r"too many (?:mails|messages)(?! (?:from|per))|message count|over (?:the )?(?:limit|size)",
        "soft",
        "RFC 3463, 3.3: mailbox full",
    ),
)

ASLEEP: Final = (
    Wording(
        r"suspend\w*|disabled|inactiv\w*|deactivated|dormant|frozen|\block(?:ed)?\b(?! file)",
        "soft",
        "RFC 3463, 3.3: mailbox disabled",
    ),
    Wording(
        r"unavailable or access denied|(?:not|n't|not currently|temporarily not|isn't) (?:an? )?"
        r"(?:active|activated|enabled|accepting|receiving|collecting)(?! (?:mails?"
        r"|messages?) (?:with|from))",
        "soft",
        "RFC 3463, 3.3: not accepting messages",
    ),
    Wording(
        r"receiving mail (?:at a rate|too quickly)|unclaimed|not been collected|on hold"
        r"|on vacation",
        "soft",
        "several servers",
    ),
)

LARGE: Final = (
    Wording(
        r"(?:message|mail|e-?mail|size|content|file|attachment|header"
        r"|data)s?\b[^.;]{0,60}(?:too (?:large|big)|exceed\w*|larger than|bigger than"
        r"|over(?:size| the))",
        "soft",
        "RFC 3463, 3.4: message too big",
    ),
    Wording(
        r"(?:exceed\w*|above|over|maximum|max)[^.;]{0,40}(?:size|length|bytes|[mk]b\b)"
        r"|size limit|too (?:large|big)|message too long|recipsizelimit|oversized?",
        "soft",
        "RFC 3463, 3.4: message too big",
    ),
)

UNDERWAY: Final = (
    Wording(r"gr[ea]y-?list\w*|gr[ea]y list\w*|postgrey", "soft", "RFC 6647: greylisting"),
    Wording(
        r"temporar\w*|try (?:it )?(?:again|later)|please (?:re)?try|retry|later\b|transient"
        r"|defer\w*|momentarily|at this time",
        "soft",
        "RFC 3463, 2: transient",
    ),
    Wording(
        r"time[- ]?d? ?out\b|timeout|expired|too old|too long (?:in|on)|(?:for|in) (?:too long"
        r"|a long time)|delivery time|gave up|given up|giving up|undelivered for"
        r"|attempts?\b[^.;]{0,40}(?:exceed|fail|unsuccess)\w*|(?:maximum"
        r"|max)\b.{0,20}(?:attempts|retries|time)|failed \d+ attempts|queued? (?:period|lifetime"
        r"|time)|retry count",
        "soft",
        "RFC 3463, 3.5: delivery time expired",
    ),
    Wording(
        r"connection[- ](?:was |is |has |been |to \S+ )*(?:refused|lost|reset|dropped|closed"
        r"|fail\w*|terminated|interrupted|broken|abort\w*)|lost connection|connect(?:ion)? (?:to"
        r"|error)|(?:not|unable to|n't|failed to|cannot"
        r"|no) (?:be )?(?:able to )?(?:\w+ )?(?:connect\w*|reach (?:the |any |remote )?(?:server"
        r"|host|domain|mx)|contact\w*|respond\w*|establish\w*)|unreachable|no route"
        r"|not responding|did not respond|no answer|network (?:error|problem|is)|read error"
        r"|write error|socket|broken pipe|bad connection|no server|smtp connection"
        r"|server (?:down|is down)",
        "soft",
        "RFC 3463, 3.5: network",
    ),
    Wording(
        r"\bloop(?:s|ed|ing)?\b|too many hops|hop count|maximum hop|aliasing.{0,20}broken"
        r"|mx points to|lowest numbered mx|mail for \S+ loops|routing (?:error|loop)",
        "soft",
        "RFC 3463, 3.5: routing loop",
    ),
    Wording(
        r"service (?:is )?(?:temporarily )?(?:not available|unavailable|down)|(?:server|system"
        r"|host|service|mailer|daemon|resource|recipient server)s?\b[^.;]{0,30}(?:busy"
        r"|unavailable|error|overload\w*|shutting down|maintenance|problem|failure|offline)"
        r"|out of (?:memory|resource)|unavailable or busy|too busy|high load|load average"
        r"|maintenance",
        "soft",
        "RFC 3463, 3.4: mail system",
    ),
    Wording(
        r"(?:local|internal|configuration|processing|protocol|unexpected|input/output|i/o"
        r"|database|ldap|lookup|directory|resolver|software|program|dns|lmtp"
        r"|mapi)(?: \w+)? (?:error|problem|fail\w*)|command (?:died|output|failed|time)"
        r"|exit (?:status|code)|signal \d|can't (?:create|open|use|write)|cannot (?:create|open"
        r"|append|update|write)|unable to (?:open|create|write|append|transfer)|error opening"
        r"|permission denied|mailer \S+ exited|unspecified|undefined (?:error|value)|no matching"
        r"|misconfigur\w*|could not (?:find a gateway|be processed)|system file|mail-e-|rms-e-"
        r"|error writing",
        "soft",
        "RFC 3463, 3.4: mail system",
    ),
    Wording(
        r"name service error|name server|dns\b|lookup fail|unable to look ?up"
        r"|host not found,? try|nameserver",
        "soft",
        "RFC 3463, 3.5: directory server failure",
    ),
)

PASSING: Final = (*FULL, *ASLEEP, *LARGE, *UNDERWAY)
