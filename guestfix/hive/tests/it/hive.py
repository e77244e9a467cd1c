"""All keys and values of a hive as hivex reads them: a line each, in hexadecimal."""

import sys

import hivex


def show(hive, node, path):
    print("K", path.encode("utf-8").hex())
    for value in hive.node_values(node):
        kind, data = hive.value_value(value)
        names = [text.encode("utf-8").hex() for text in (path, hive.value_key(value))]
        print("V", *names, kind & 0xFFFFFFFF, data.hex())
    for child in hive.node_children(node):
        show(hive, child, path + "\\" + hive.node_name(child))


sys.setrecursionlimit(10000)
hive = hivex.Hivex(sys.argv[1])
show(hive, hive.root(), "")
