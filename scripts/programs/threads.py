# SPDX-License-Identifier: GPL-2.0
# Threads that compress, map, start programs and other threads, and check what comes of it;
# and processes with memory in common. Usage: threads.py SECONDS
import hashlib
import mmap
import multiprocessing
import random
import subprocess
import sys
import threading
import time
import zlib
from multiprocessing import shared_memory

end = time.monotonic() + int(sys.argv[1])
rounds, wrong = [0] * 8, []


def compress(me):
    data = random.Random(me).randbytes(20000) * 6
    digest = hashlib.sha256(data).digest()
    packed = zlib.compress(data, 1)
    if hashlib.sha256(zlib.decompress(packed)).digest() != digest:
        wrong.append("zlib")


def mapped(me):
    n = 64 * mmap.PAGESIZE
    with mmap.mmap(-1, n, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as m:
        for i in range(0, n, mmap.PAGESIZE):
            m[i] = (i // mmap.PAGESIZE + me) & 255
        m.madvise(mmap.MADV_DONTNEED, 0, n // 2)
        for i in range(0, n, mmap.PAGESIZE):
            if m[i] != (0 if i < n // 2 else (i // mmap.PAGESIZE + me) & 255):
                wrong.append("mmap")


def file(me):
    data = random.Random(me).randbytes(50000)
    path = "file%d" % me
    with open(path, "wb+") as f:
        f.write(data)
        f.flush()
        with mmap.mmap(f.fileno(), 0) as m:
            m[1000:2000] = bytes(1000)
            f.seek(0)
            if f.read() != data[:1000] + bytes(1000) + data[2000:] or m[:1000] != data[:1000]:
                wrong.append("file")


def program(me):
    said = subprocess.run(["/bin/echo", "-n", str(me)], stdout=subprocess.PIPE, check=True).stdout
    if said != b"%d" % me:
        wrong.append("program")


def others(me):
    said = []
    ts = [threading.Thread(target=said.append, args=(i,)) for i in range(8)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    if sorted(said) != list(range(8)):
        wrong.append("threads")


def fill(name, me):
    s = shared_memory.SharedMemory(name)
    s.buf[me * 100000:(me + 1) * 100000] = bytes([me + 1]) * 100000
    s.close()


def worker(me):
    try:
        kinds = (compress, mapped, file, program, others)
        while time.monotonic() < end:
            kinds[(rounds[me] + me) % len(kinds)](me)
            rounds[me] += 1
    except Exception as e:
        wrong.append(repr(e))


if __name__ == "__main__":
    threads = [threading.Thread(target=worker, args=(i,)) for i in range(len(rounds))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    shared = shared_memory.SharedMemory(create=True, size=400000)
    ps = [multiprocessing.Process(target=fill, args=(shared.name, i)) for i in range(4)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
    if bytes(shared.buf[:400000]) != b"".join(bytes([i + 1]) * 100000 for i in range(4)):
        wrong.append("shared memory")
    shared.close()
    shared.unlink()
    print(*wrong[:5], sep="\n", end="\n" if wrong else "")
    print("%d rounds, %d wrong" % (sum(rounds), len(wrong)))
    sys.exit(bool(wrong) or not all(rounds))
