"""The command line: `medquorum`.

    main        the root command, how every ending becomes an exit code
    lazy        groups that import a command only when it is called
    exits       the exit codes, and which error has which
    options     options that many commands share
    secret      where a passphrase comes from
    show        printing: for people, or as JSON
    setup       a new home directory
    member      what an organisation publishes about itself before there is a chain

Every other module holds the command, or the group of commands, of its name. The commands hold no
logic of the network: they call the packages below and print.
"""

from __future__ import annotations
