#!/usr/bin/env python3
"""Writes the smallest valid header of a kind to a device: signature.py KIND DEVICE.

For kinds whose own programs need kernel support that the machine under test may lack. Layouts: LUKS
on-disk format 1 (cryptsetup), LVM2 label and pv_header (lvm2 lib/format_text/layout.h), md superblock
version 1.2 (linux/raid/md_p.h), struct bch_sb (fs/bcachefs/bcachefs_format.h), ZFS vdev label and
uberblock (OpenZFS uberblock_impl.h)."""
import os
import struct
import sys
import zlib

UUID = bytes(range(1, 17))


def lvm_crc(data):
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def luks(size):
    header = b"LUKS\xba\xbe" + struct.pack(">H", 1)
    header += b"aes".ljust(32, b"\0") + b"xts-plain64".ljust(32, b"\0") + b"sha256".ljust(32, b"\0")
    header += struct.pack(">II", 4096, 64) + bytes(20 + 32 + 4)
    header += b"01020304-0506-0708-090a-0b0c0d0e0f10".ljust(40, b"\0")
    return [(0, header)]


def lvm(size):
    rest = struct.pack("<I8s", 32, b"LVM2 001")
    rest += b"abcdefghijklmnopqrstuvwxyz012345" + struct.pack("<Q", size) + bytes(16 * 4)
    rest = rest.ljust(512 - 20, b"\0")
    return [(512, b"LABELONE" + struct.pack("<QI", 1, lvm_crc(rest)) + rest)]


def md(size):
    sb = struct.pack("<IIII", 0xA92B4EFC, 1, 0, 0) + UUID + b"host:0".ljust(32, b"\0")
    sb += struct.pack("<QIIQII", 0, 1, 0, size // 512 - 2048, 0, 2) + bytes(4 + 4 + 8 * 2)
    sb = sb.ljust(128, b"\0")
    sb += struct.pack("<QQQQ", 2048, size // 512 - 2048, 8, 0)
    sb += struct.pack("<II", 0, 0) + UUID + bytes(8)
    sb += struct.pack("<QQQI", 0, 0, 0, 0)
    sb = sb[:216] + struct.pack("<II", 0, 2) + bytes(32)
    sb = sb[:256].ljust(256, b"\0") + struct.pack("<HH", 0, 1)
    total = sum(struct.unpack("<%dI" % (len(sb) // 4), sb))
    total = (total & 0xFFFFFFFF) + (total >> 32)
    sb = sb[:216] + struct.pack("<I", total & 0xFFFFFFFF) + sb[220:]
    return [(4096, sb)]


def bcachefs(size):
    magic = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")
    sb = bytes(16) + struct.pack("<HHI", 1, 1, 0) + magic + UUID + UUID
    sb = sb.ljust(752, b"\0")
    layout = (magic + bytes([0, 16, 1]) + bytes(5) + struct.pack("<Q", 8)).ljust(512, b"\0")
    return [(3584, layout), (4096, sb)]


def zfs(size):
    uberblock = struct.pack("<QQQQ", 0x00BAB10C, 5000, 10, 1)
    writes = []
    for label in (0, 256 * 1024):
        writes += [(label + 128 * 1024 + i * 1024, uberblock) for i in range(8)]
    return writes


def gpt_overlap(size):
    """Valid checksums, but partition 2 starts within partition 1."""
    with open(sys.argv[2], "rb") as disk:
        data = disk.read(34 * 512)
        disk.seek(size - 33 * 512)
        tail = disk.read(33 * 512)

    def fix(header, entries):
        entries = bytearray(entries)
        first = struct.unpack_from("<Q", entries, 32)[0]
        struct.pack_into("<Q", entries, 128 + 32, first + 1)
        header = bytearray(header)
        struct.pack_into("<I", header, 88, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header[:92]))
        return bytes(header), bytes(entries)

    header, entries = fix(data[512:1024], data[1024:])
    backup, backup_entries = fix(tail[-512:], tail[:-512])
    return [(512, header), (1024, entries), (size - 33 * 512, backup_entries), (size - 512, backup)]


def main():
    kind, path = sys.argv[1:]
    with open(path, "r+b") as disk:
        size = disk.seek(0, os.SEEK_END)
        for at, data in globals()[kind.replace("-", "_")](size):
            disk.seek(at)
            disk.write(data)
        disk.flush()
        os.fsync(disk.fileno())


main()
