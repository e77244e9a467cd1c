"""Prints the SHA-256 of the disk in an image, as dissect.hypervisor reads it.

Arguments: the format, the image, and its parent where the format does not name it.
"""

import hashlib
import sys
from pathlib import Path

from dissect.hypervisor.disk.qcow2 import QCow2
from dissect.hypervisor.disk.vdi import VDI
from dissect.hypervisor.disk.vhd import VHD
from dissect.hypervisor.disk.vhdx import VHDX
from dissect.hypervisor.disk.vmdk import VMDK

PIECE = 1 << 20


def disk(kind, path, parent=None):
    if kind == "vdi":
        return VDI(path, disk(kind, parent) if parent else None).open()
    if kind == "vhd":
        return VHD(path.open("rb"))
    if kind == "vhdx":
        return VHDX(path)
    if kind == "vmdk":
        return VMDK(path)
    if kind == "qcow2":
        return QCow2(path).open()
    raise SystemExit(f"{kind} is not known here")


kind, *paths = sys.argv[1:]
stream = disk(kind, *map(Path, paths))
# It reads in larger units, and past the end of a disk that has no whole number of them.
stream.align = 512
digest, size = hashlib.sha256(), 0
while piece := stream.read(PIECE):
    digest.update(piece)
    size += len(piece)
print(size, digest.hexdigest())
