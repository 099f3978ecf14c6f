"""``python -m starfish_fetch`` is ``starfish-fetch``."""

from starfish_fetch.cli import main

if __name__ == "__main__":
    main()
