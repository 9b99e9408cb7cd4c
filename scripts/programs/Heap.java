// SPDX-License-Identifier: GPL-2.0

// Threads allocate objects whose contents they can check, keep some of them for a while
// and check those they drop, while the collector moves them; the heap grows and shrinks,
// and threads come and go. Usage: Heap SECONDS
import java.util.concurrent.atomic.AtomicLong;

public class Heap {
	static final int KEPT = 512;
	static final AtomicLong objects = new AtomicLong(), wrong = new AtomicLong(),
		started = new AtomicLong();

	static long mix(long x) {
		x ^= x >>> 33;
		x *= 0xff51afd7ed558ccdL;
		return x ^ x >>> 29;
	}

	static final class Node {
		final long seed;
		final Node next;
		final byte[] bytes;
		final long[] longs;

		Node(long seed, Node next) {
			this.seed = seed;
			this.next = next;
			int size = (int) (mix(seed) & 0x3fff);
			// Some are large: regions of their own
			bytes = new byte[seed % 101 == 0 ? 40 * size : size / 4];
			longs = new long[size / 64 + 1];
			for (int i = 0; i < bytes.length; i += 61)
				bytes[i] = (byte) (seed + i);
			for (int i = 0; i < longs.length; i++)
				longs[i] = mix(seed + i);
		}

		boolean right() {
			for (int i = 0; i < bytes.length; i++)
				if (bytes[i] != (i % 61 == 0 ? (byte) (seed + i) : 0))
					return false;
			for (int i = 0; i < longs.length; i++)
				if (longs[i] != mix(seed + i))
					return false;
			return next == null || next.seed == seed - 1;
		}
	}

	static void work(long end, long seed) {
		Node[] kept = new Node[KEPT];
		long n = 0;
		while (System.nanoTime() < end) {
			// Every other second or so one that keeps little: the heap can shrink.
			int keep = (n >> 14 & 1) == 0 ? KEPT : KEPT / 16;
			for (int i = 0; i < 256; i++, n++) {
				int at = (int) ((mix(seed + n) & Long.MAX_VALUE) % keep);
				if (kept[at] != null && !kept[at].right())
					wrong.incrementAndGet();
				kept[at] = new Node(seed + 2 * n + 1, new Node(seed + 2 * n, null));
			}
			for (int i = keep; i < KEPT; i++)
				kept[i] = null;
		}
		for (Node node : kept)
			if (node != null && !(node.right() && node.next.right()))
				wrong.incrementAndGet();
		objects.addAndGet(2 * n);
	}

	static void guarded(Runnable r) {
		try {
			r.run();
		} catch (Throwable t) {
			t.printStackTrace();
			wrong.incrementAndGet();
		}
	}

	public static void main(String[] args) throws Exception {
		long end = System.nanoTime() + 1000000000L * Integer.parseInt(args[0]);
		Thread[] threads = new Thread[6];
		for (int i = 0; i < 4; i++) {
			long seed = (long) (i + 1) << 40;
			threads[i] = new Thread(() -> guarded(() -> work(end, seed)));
		}
		threads[4] = new Thread(() -> guarded(() -> {
			while (System.nanoTime() < end) {
				Thread t = new Thread(() -> guarded(() -> {
					Node node = null;
					for (int i = 0; i < 100; i++)
						node = new Node(i, node);
					for (; node != null; node = node.next)
						if (!node.right())
							wrong.incrementAndGet();
				}));
				t.start();
				try {
					t.join();
				} catch (InterruptedException e) {
					throw new RuntimeException(e);
				}
				started.incrementAndGet();
			}
		}));
		threads[5] = new Thread(() -> guarded(() -> {
			while (System.nanoTime() < end) {
				try {
					Thread.sleep(300);
				} catch (InterruptedException e) {
					throw new RuntimeException(e);
				}
				System.gc();
			}
		}));
		for (Thread t : threads)
			t.start();
		for (Thread t : threads)
			t.join();
		System.out.println(objects + " objects, " + started + " threads started, " + wrong + " wrong");
		System.exit(wrong.get() == 0 && objects.get() > 0 && started.get() > 0 ? 0 : 1);
	}
}
