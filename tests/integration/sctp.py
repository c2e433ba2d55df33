# SPDX-License-Identifier: Apache-2.0
"""SCTP for raw sockets, as kernels of tests have no others. Nothing of src/ is in it."""
import struct


def sctp_init(sport, dport):
    """RFC 9260: a whole INIT, as conntrack believes nothing less; CRC32c of it all, least significant byte first."""
    packet = bytearray(struct.pack(">HHIIBBHIIHHI", sport, dport, 0, 0, 1, 0, 20, 1, 1 << 16, 1, 1, 1))
    crc = 0xffffffff
    for byte in packet:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    packet[8:12] = struct.pack("<I", crc ^ 0xffffffff)
    return bytes(packet)
