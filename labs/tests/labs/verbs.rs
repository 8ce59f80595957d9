//! The labs in which programs use verbs: what is right passes, what is wrong is told by the rule it breaks.

use crate::classroom::lab_tests;

lab_tests! {
    ping_pong "ping-pong" starter: "qp.rts" "queue pairs of the server, when it ended: [Init]" &[
        ("        end.qp.to_rts(psn).unwrap();\n", "", "qp.rts", "[Rtr]"),
        ("        end.post();\n", "", "receive.first", "receiver not ready"),
        ("                self.post();\n", "", "receive.first", "receiver not ready"),
        ("told[1] as u32)", "told[1] as u32 + 1)", "stage.waits", "waits for a completion"),
        ("if completion.is_receive {", "if true {", "receive.first|echo.content", "receiver not ready|expected"),
        ("byte.wrapping_add(1)", "byte.wrapping_add(2)", "echo.content", "expected"),
        (
            "let told = nic.hear(peer);",
            "let told = nic.hear(if peer == \"server\" { \"client\" } else { \"server\" });",
            "stage.waits",
            "waits in hear",
        ),
    ];

    flow_control "flow-control" starter: "receive.ready" "receiver not ready" &[
        ("        for slot in 0..DEPTH {\n            receiver.post(slot);", "        for slot in 0..DEPTH - 1 {\n            receiver.post(slot);", "receive.ready", "receiver not ready"),
        ("credit: DEPTH,", "credit: 2 * DEPTH,", "receive.ready", "receiver not ready"),
        ("self.credit += BATCH;", "self.credit += BATCH + 1;", "receive.ready", "receiver not ready"),
        ("            self.post(completion.wr_id);\n", "", "receive.ready", "receiver not ready"),
        ("            self.credit += BATCH;\n", "", "stage.waits", "waits for a completion"),
        ("let slot = self.free.pop().unwrap();", "let slot = self.free.pop().unwrap() * 0;", "stream.content", "the receiver returned"),
        ("            self.qp.receive(0, (&self.credits, 0..1)).unwrap();\n        } else", "        } else", "receive.ready", "receiver not ready"),
    ];

    completions "completions" starter: "completion.sparse" "completions for" &[
        ("    while completed < blocks {\n        wait(&mut completed);\n    }\n", "", "completion.means-done", "when write_all returns"),
        ("n % BATCH == BATCH - 1 || n + 1 == blocks", "true", "cq.overflow", "Where"),
        ("n % BATCH == BATCH - 1 || n + 1 == blocks", "n % 2 == 1 || n + 1 == blocks", "cq.overflow|completion.sparse", "Where|completions for"),
        ("n % BATCH == BATCH - 1 || n + 1 == blocks", "n % BATCH == BATCH - 1", "stage.waits", "waits for a completion"),
        ("let at = (n % DEPTH) as usize * SIZE;", "let at = 0;", "memory.until-completion", "begins with"),
        ("(fill + n) as u8; SIZE]", "(fill + n + 1) as u8; SIZE]", "memory.until-completion", "block 0"),
    ];

    key_value "key-value" starter: "kv.found" "returned None" &[
        ("memory.write(slot as usize * SLOT + 8, &value.to_be_bytes());", "", "kv.found", "returned Some(0)"),
        ("                _ => slot = (slot + 1) % self.slots,", "                _ => return None,", "kv.found", "returned None"),
        ("found if found == key =>", "_ if key > 0 =>", "kv.missing|kv.found", "not None|not Some"),
        ("                0 => return None,\n", "", "kv.bytes", "bytes for a key"),
        ("let mut slot = home(key, self.slots);", "let mut slot = 0;", "kv.found", "returned None"),
        ("(key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % slots", "(key & 7) % slots", "kv.bytes", "bytes for a key"),
        ("_ => slot = (slot + 1) % self.slots,", "_ => slot = (slot + 1).min(self.slots - 1),", "kv.found", "returned None"),
    ];

    atomics "atomics" starter: "ticket.once" "tickets, in order: 0" &[
        ("self.call(Op::FetchAdd(counter, 1))", "self.call(Op::Read(counter))", "ticket.once", "tickets, in order"),
        ("self.call(Op::FetchAdd(counter, 1))", "self.call(Op::FetchAdd(counter, 1)) + 1", "ticket.once", "tickets, in order"),
        ("self.call(Op::FetchAdd(counter, 1))", "self.call(Op::FetchAdd(counter, 2)) / 2", "ticket.counter", "the counter is"),
        ("        while self.call(Op::CompareSwap { remote: lock, compare: 0, swap: 1 }) != 0 {}\n", "", "lock.excludes", "the account has"),
        ("!= 0 {}", "> 1 {}", "lock.excludes", "the account has"),
        ("        self.call(Op::Write(lock));\n", "", "stage.time", "lock"),
        ("        self.call(Op::Write(account));\n", "", "lock.excludes", "the account has"),
    ];

    all_reduce "all-reduce" starter: "reduce.sum" "wrong sums at rank-0, rank-1" &[
        ("sums[at] += number;", "sums[at] = number;", "reduce.sum", "wrong sums"),
        ("        for _ in 0..2 * (ranks - 1) {", "        for _ in 0..ranks - 1 {", "stage.time", "receiver not ready"),
        ("let sends = (self.rank + self.ranks + 1 - step) % self.ranks;", "let sends = (self.rank + self.ranks - step) % self.ranks;", "reduce.sum", "wrong sums"),
        ("        assert!(self.received.wait().is_success());\n", "", "reduce.sum", "wrong sums"),
        ("let gets = (self.rank + 2 * self.ranks - step - 1) % self.ranks;", "let gets = (self.rank + self.ranks - step) % self.ranks;", "reduce.sum", "wrong sums"),
    ];

    one_sided "one-sided" starter: "write.content" "of the owner's memory is" &[
        ("        self.scratch.write(0, bytes);\n", "", "write.content", "of the owner's memory is"),
        (
            "let remote = Remote { addr: self.remote.addr + at, ..self.remote };\n        self.carry_out(Op::Write",
            "let remote = self.remote;\n        self.carry_out(Op::Write",
            "write.content",
            "of the owner's memory is",
        ),
        ("self.carry_out(Op::Write(remote), bytes.len())", "self.carry_out(Op::Write(remote), 4096 - at as usize)", "write.content", "of the owner's memory is"),
        (
            "self.carry_out(Op::Read(remote), len)?;",
            "self.qp.send(1, Op::Read(remote), (&self.scratch, 0..len), true).map_err(|why| why.to_string())?;",
            "read.content",
            "Seen",
        ),
        ("Ok(self.scratch.read(0..len))", "Ok(vec![0; len])", "read.content", "have the sum 0"),
        ("        self.put(LETTER, &bytes)?;\n", "        let _ = bytes;\n", "letter.order", "something else"),
        (
            "        self.put(LETTER, &bytes)?;\n        // A WRITE of its own: about the parts of one nothing is promised.\n        self.put(FLAG, &number.to_be_bytes())",
            "        self.put(FLAG, &number.to_be_bytes())?;\n        self.put(LETTER, &bytes)",
            "letter.order",
            "something else",
        ),
        ("Err(completion.status)", "Ok(())", "refused.status", "did not complete with RemAccessErr"),
        ("        connect(nic, &[(\"owner\", &self.qp)], ACCESS);\n", "", "stage.waits", "Where"),
    ];

    block_device "block-device" starter: "disk.content" "something else" &[
        ("            self.store[block as usize].copy_from_slice(&data);\n", "            let _ = data;\n", "disk.content", "something else"),
        ("            self.buffers.write(slot * BLOCK, &self.store[block as usize]);\n", "", "disk.content", "something else"),
        ("            return self.answer(slot, 1);\n", "            return self.answer(slot, 0);\n", "disk.bounds", "succeeded"),
        ("if block >= self.store.len() as u64 {", "if block + 1 >= self.store.len() as u64 {", "disk.bounds", "failed"),
        ("let addr = self.buffers.addr() + (slot * BLOCK) as u64;", "let addr = self.buffers.addr();", "disk.content", "something else"),
        ("let part = slot * BLOCK..(slot + 1) * BLOCK;\n        self.qp.send(DATA", "let part = 0..BLOCK;\n        self.qp.send(DATA", "disk.content", "something else"),
        ("        self.qp.send(DATA + slot as u64, op, (&self.buffers, part), true).unwrap();", "        self.qp.send(DATA + slot as u64, op, (&self.buffers, part), true).unwrap();\n        while self.cq.wait().wr_id != DATA + slot as u64 {}\n        self.end(slot);", "stage.waits", "Where"),
        ("                self.receive(completion.wr_id as usize);\n", "", "stage.time", "Where"),
        ("const ANSWER: usize = 16;", "const ANSWER: usize = 80;", "disk.one-sided", "a message of 80 bytes"),
    ];

    three_ways "three-ways" starter: "echo.content" "the client returned 0" &[
        ("        end.post();\n", "", "receive.first", "receiver not ready"),
        ("told[1] as u32)", "told[1] as u32 + 1)", "stage.waits", "waits for a completion"),
        ("        if request.private_data[0] == version {\n", "        if true {\n", "cm.version", "0 of the client's"),
        ("        request.reject(&[version]);\n", "        nic.listen(port + 1);\n", "stage.waits|stage.time", "waits for"),
        ("Err(Refusal::Rejected(_)) => {}", "Err(Refusal::Rejected(_)) => return 0,", "stage.waits|cm.version", "waits for a request|Seen"),
        (
            "    for &version in versions {\n",
            "    nic.tell(\"server\", &[versions[0] as u64]);\n    for &version in versions {\n",
            "cm.alone",
            "tell() was called",
        ),
        ("    while have < size {\n        have += stream.read(&mut message[have..]);\n    }\n", "    have += stream.read(&mut message);\n    assert!(have > 0);\n", "stream.bytes|stage.waits", "the client returned|Where"),
        ("wrapping_add((round + at as u64) as u8)", "wrapping_add(at as u8)", "echo.content", "the client returned"),
    ];
}
