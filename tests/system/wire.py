"""Remote-write 1.0 messages, byte by byte, wrong ones too. Standard library
only: the snappy made here is literals, which every decoder takes."""
import struct


def varint(n):
    out = b""
    n &= 2**64 - 1
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    """A length-delimited field."""
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def labels(pairs):
    """Label fields in the order given; a dict or a list of pairs."""
    pairs = pairs.items() if isinstance(pairs, dict) else pairs
    return b"".join(field(1, field(1, n) + field(2, v)) for n, v in pairs)


def sample(timestamp_ms, value):
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(timestamp_ms))


def series(pairs, samples):
    """A TimeSeries of (timestamp in ms, value) pairs."""
    return labels(pairs) + b"".join(sample(t, v) for t, v in samples)


def message(*all_series):
    return b"".join(field(1, s) for s in all_series)


def snappy(data):
    out = varint(len(data))
    for at in range(0, len(data), 65536):
        piece = data[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return out


HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
           "X-Prometheus-Remote-Write-Version": "0.1.0"}


def write(server, *all_series, **more):
    """-> (status, text) of a remote write of these TimeSeries."""
    return write_body(server, snappy(message(*all_series)), **more)


def write_body(server, body, headers=HEADERS, timeout=60):
    status, _, text = server.call("POST", "/api/v1/write", body, headers, timeout)
    return status, text.decode(errors="replace")
