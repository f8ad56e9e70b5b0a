"""`python -m pastebin` is the command `pastebin`."""

from pastebin.cli import main

raise SystemExit(main())
