"""The limit on the addresses that this process may use."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def address_space() -> int | None:
        """Bytes of the limit on addresses (ulimit -v), None where there is none."""
        return None

else:
    import resource

    def address_space() -> int | None:
        """Bytes of the limit on addresses (ulimit -v), None where there is none."""
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        return None if limit == resource.RLIM_INFINITY else limit
