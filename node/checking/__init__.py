"""What a height consists of, checked without any store or node: for the tools that mend a stopped
node as for the archives of a running one.
"""
