"""`python -m bench`: measure everything and write the table to stdout; takes three minutes."""

import os
import sys

from bench.measure import ONE_THREAD, Row, markdown

# Before torch is loaded, which reads them once: a shared machine gives no second core reliably.
os.environ.update(ONE_THREAD)

from bench import autoencoder, catalog, clip


def main() -> int:
    """Run the benchmarks one after the other."""
    rows: list[Row] = []
    for name, module in (("catalog", catalog), ("autoencoder", autoencoder), ("clip", clip)):
        sys.stderr.write(f"{name} …\n")
        rows += module.rows()
    sys.stdout.write(markdown(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
