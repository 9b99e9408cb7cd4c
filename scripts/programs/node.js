// SPDX-License-Identifier: GPL-2.0

// Workers that allocate, share memory, send each other buffers, and come and go; each
// checks its sums. Usage: node.js SECONDS
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const mix = x => Math.imul(x ^ x >>> 15, 0x2c1b3c6d) >>> 0;

if (!isMainThread) {
	const { shared, seed } = workerData;
	const counter = new Int32Array(shared);
	let wrong = 0, objects = 0;
	for (let round = 0; round < 3; round++) {
		const kept = [];
		for (let i = 0; i < 300; i++) {
			const n = mix(seed + i) % 3000 + 1;
			const bytes = new Uint8Array(n).fill(n & 255);
			kept.push({ n, bytes, text: 'x'.repeat(n % 500) + n });
			Atomics.add(counter, 0, 1);
			objects++;
		}
		for (const { n, bytes, text } of kept)
			if (bytes.length !== n || bytes.some(b => b !== (n & 255)) || text !== 'x'.repeat(n % 500) + n)
				wrong++;
	}
	// Buffers outside of the heap: mapped, and moved to another thread
	const big = new Uint32Array(1 << 18);
	let sum = 0;
	for (let i = 0; i < big.length; i++)
		sum = sum + (big[i] = mix(seed + i)) | 0;
	parentPort.postMessage({ big, sum, wrong, objects }, [big.buffer]);
} else {
	const end = Date.now() + 1000 * process.argv[2];
	const shared = new SharedArrayBuffer(4);
	let wrong = 0, objects = 0, workers = 0, running = 0, seed = 1;
	const start = () => {
		running++;
		workers++;
		const worker = new Worker(__filename, {
			workerData: { shared, seed: seed++ },
			resourceLimits: { maxOldGenerationSizeMb: 64 },
		});
		worker.on('message', m => {
			let sum = 0;
			for (const x of m.big)
				sum = sum + x | 0;
			wrong += m.wrong + (sum !== m.sum);
			objects += m.objects;
		});
		worker.on('error', e => { console.log(e); wrong++; });
		worker.on('exit', code => {
			wrong += code !== 0;
			running--;
			if (Date.now() < end)
				start();
			else if (!running) {
				if (Atomics.load(new Int32Array(shared), 0) !== objects)
					wrong++;
				console.log(`${workers} workers, ${objects} objects, ${wrong} wrong`);
				process.exit(wrong || !objects ? 1 : 0);
			}
		});
	};
	for (let i = 0; i < 4; i++)
		start();
}
