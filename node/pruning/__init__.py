"""Old blocks are given up, and put back from archives (docs/spec/archive.md, A5 to A13).

lines       how far blocks may be given up
removing    removes what is below the line
restoring   puts it back
room        what that takes on the disk, and how it is made free
background  does it while the node runs, a little at a time
"""
