# SPDX-License-Identifier: GPL-2.0
# Direct reads of a file into memory without pages, by some threads, while another one maps.
# usage: direct.py FILE SECONDS
import mmap
import os
import sys
import threading
import time

PAGE = 4096
PAGES = 1024
name, seconds = sys.argv[1], float(sys.argv[2])
with open(name, "wb") as f:
    for i in range(PAGES):
        f.write(b"%08d" % i * (PAGE // 8))
    f.flush()
    os.fsync(f.fileno())
fd = os.open(name, os.O_RDWR | os.O_DIRECT)
end = time.time() + seconds
errors = []
reads = [0] * 4


def right(memory, first, pages):
    for i in range(pages):
        if memory[i * PAGE:i * PAGE + PAGE] != b"%08d" % (first + i) * (PAGE // 8):
            errors.append("page %d" % (first + i))


def reader(n):
    first = n * 200
    while time.time() < end and not errors:
        kind = reads[n] % 3
        if kind == 0:       # memory that was never touched
            m = mmap.mmap(-1, 64 * PAGE)
        elif kind == 1:     # a private mapping of the file that is read
            m = mmap.mmap(fd, 64 * PAGE, mmap.MAP_PRIVATE, offset=first * PAGE)
        else:               # a shared one: the read writes what is there
            m = mmap.mmap(fd, 64 * PAGE, mmap.MAP_SHARED, offset=first * PAGE)
        done = 0
        while done < 64:
            got = os.preadv(fd, [memoryview(m)[done * PAGE:]], (first + done) * PAGE)
            if got <= 0 or got % PAGE:
                errors.append("read %d" % got)
                return
            done += got // PAGE
        right(m, first, 64)
        try:
            m.close()
        except BufferError:
            pass
        reads[n] += 1


def mapper():
    while time.time() < end:
        m = mmap.mmap(-1, 16 * PAGE)
        m[0] = 1
        m.close()


threads = [threading.Thread(target=reader, args=(n,)) for n in range(4)]
threads.append(threading.Thread(target=mapper))
for t in threads:
    t.start()
for t in threads:
    t.join()
if errors:
    print(errors[:4])
    sys.exit(1)
print("%d direct reads of 64 pages" % sum(reads))
