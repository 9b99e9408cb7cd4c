# SPDX-License-Identifier: GPL-2.0
# Clients of memcached, each in a thread: what a get returns is what was set, and none
# of the increments of a common counter is lost. Usage: memcached.py SECONDS
import random
import socket
import sys
import threading
import time
import zlib

end = 0
done, wrong = [0] * 6, []


def connect():
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", 11211))
        except OSError:
            time.sleep(0.3)
    raise SystemExit("no memcached")


def value(key, version):
    head = b"%s %d " % (key, version)
    return head + b"%08x" % zlib.crc32(head) + b"x" * (zlib.crc32(head) % 8000)


def client(me):
    try:
        rand = random.Random(me)
        sock = connect()
        f = sock.makefile("rb")
        while time.monotonic() < end:
            key = b"key%d" % rand.randrange(5000)
            if rand.random() < 0.5:
                data = value(key, rand.randrange(1000))
                sock.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(data), data))
                if f.readline() != b"STORED\r\n":
                    wrong.append("not stored")
            else:
                sock.sendall(b"get %s\r\n" % key)
                line = f.readline().split()
                if line[0] == b"VALUE":
                    data = f.read(int(line[3]) + 2)[:-2]
                    if f.readline() != b"END\r\n" or data != value(key, int(data.split()[1])):
                        wrong.append("value of %s" % key)
            sock.sendall(b"incr counter 1\r\n")
            f.readline()
            done[me] += 1
    except Exception as e:
        wrong.append(repr(e))


sock = connect()
f = sock.makefile("rb")
sock.sendall(b"set counter 0 0 1\r\n0\r\n")
f.readline()
end = time.monotonic() + int(sys.argv[1])
threads = [threading.Thread(target=client, args=(i,)) for i in range(len(done))]
for t in threads:
    t.start()
for t in threads:
    t.join()
sock.sendall(b"get counter\r\n")
f.readline()
count = int(f.readline())
if count != sum(done):
    wrong.append("%d increments, should be %d" % (count, sum(done)))
print(*wrong[:5], sep="\n", end="\n" if wrong else "")
print("%d requests, %d wrong" % (2 * sum(done), len(wrong)))
sys.exit(bool(wrong) or not count)
