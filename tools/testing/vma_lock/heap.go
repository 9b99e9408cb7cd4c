// SPDX-License-Identifier: GPL-2.0

// A runtime with threads at work: goroutines build trees whose contents they can
// check while the garbage collector runs beside them, memory goes back to the
// kernel, and programs are started. Usage: heap SECONDS
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type node struct {
	left, right *node
	value       uint64
	pad         []byte
}

func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>29
}

func build(depth int, seed uint64) *node {
	n := &node{value: mix(seed), pad: make([]byte, seed%2000)}
	for i := range n.pad {
		n.pad[i] = byte(n.value)
	}
	if depth > 0 {
		n.left = build(depth-1, 2*seed)
		n.right = build(depth-1, 2*seed+1)
	}
	return n
}

func (n *node) check(seed uint64) bool {
	if n == nil {
		return true
	}
	if n.value != mix(seed) || len(n.pad) != int(seed%2000) {
		return false
	}
	for _, b := range n.pad {
		if b != byte(n.value) {
			return false
		}
	}
	return n.left.check(2*seed) && n.right.check(2*seed+1)
}

func main() {
	seconds := 0
	if len(os.Args) == 2 {
		seconds, _ = strconv.Atoi(os.Args[1])
	}
	if seconds < 1 {
		fmt.Fprintln(os.Stderr, "usage: heap SECONDS")
		os.Exit(2)
	}
	runtime.GOMAXPROCS(4)
	debug.SetGCPercent(20)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	var trees, started, wrong int64
	var wait sync.WaitGroup

	for g := uint64(1); g <= 8; g++ {
		wait.Add(1)
		go func(seed uint64) {
			defer wait.Done()
			for time.Now().Before(end) {
				t := build(8, seed)
				runtime.Gosched()
				if !t.check(seed) {
					atomic.AddInt64(&wrong, 1)
				}
				atomic.AddInt64(&trees, 1)
				seed += 8
			}
		}(g)
	}
	wait.Add(2)
	go func() {
		defer wait.Done()
		for time.Now().Before(end) {
			debug.FreeOSMemory()
		}
	}()
	go func() {
		defer wait.Done()
		for time.Now().Before(end) {
			if exec.Command("/bin/true").Run() != nil {
				atomic.AddInt64(&wrong, 1)
			}
			atomic.AddInt64(&started, 1)
		}
	}()
	wait.Wait()
	fmt.Printf("%d trees, %d programs started, %d wrong\n", trees, started, wrong)
	if trees == 0 || started == 0 || wrong > 0 {
		os.Exit(1)
	}
}
