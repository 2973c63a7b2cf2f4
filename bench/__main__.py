"""`python -m bench [NAME…]`: measure everything, or what is named, and write the table to stdout; takes some fifteen minutes."""

import os
import sys

from bench.measure import ONE_THREAD, Row, markdown

# Before torch is loaded, which reads them once: a shared machine gives no second core reliably.
os.environ.update(ONE_THREAD)

from bench import autoencoder, catalog, clip, frames, imports, listing

MODULES = {
    "catalog": catalog,
    "imports": imports,
    "listing": listing,
    "clip": clip,
    "frames": frames,
    "autoencoder": autoencoder,
}


def main() -> int:
    """Run the benchmarks one after the other, or those that are named."""
    rows: list[Row] = []
    for name in sys.argv[1:] or MODULES:
        sys.stderr.write(f"{name} …\n")
        rows += MODULES[name].rows()
    sys.stdout.write(markdown(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
