"""The two markers every spec and implementation carries."""

import pluggy

hookspec = pluggy.HookspecMarker("crmcore")
hookimpl = pluggy.HookimplMarker("crmcore")
