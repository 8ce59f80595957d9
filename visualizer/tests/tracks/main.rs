//! Labs in C and Python: the command as a student has it, `ferroce run` behind it, and the same verdicts as in Rust.
//!
//! Programs run on cards of this computer, at the speed that it has; so each is checked once, or `LABS_SEEDS` times. Much of
//! that time they wait: every lab is a test of its own, so that they do not wait for each other.

mod tracks;

use tracks::{Language, Room, needed};

/// A wrong solution: what is changed in the right one, and the rules that it breaks.
type Mutant = (&'static str, &'static str, &'static str);

fn check(language: Language, lab: &'static str, starter: &str, mutants: &[Mutant]) {
    if !needed(language) {
        return;
    }
    let room = Room::start(lab);
    for _ in 0..tracks::seeds() {
        assert_eq!(room.broken_rule().as_deref(), Some(starter), "the starter of {lab}");
    }
    room.solve("", "");
    for _ in 0..tracks::seeds() {
        assert_eq!(room.broken_rule(), None, "the solution of {lab}");
    }
    for (from, to, rules) in mutants {
        room.solve(from, to);
        for _ in 0..tracks::seeds() {
            let rule = room.broken_rule();
            let fits = rules.split('|').any(|known| rule.as_deref() == Some(known));
            assert!(fits, "{lab}: {from} -> {to} broke {rule:?}, not {rules}");
        }
    }
}

/// The test of a lab: the rule that the starter breaks, and wrong solutions.
macro_rules! verdicts {
    ($language:ident: $($test:ident $lab:literal $starter:literal $mutants:expr;)*) => {
        $(#[test]
        fn $test() {
            check(Language::$language, $lab, $starter, $mutants);
        })*
    };
}

verdicts! { C:
    tracks_c_ping_pong "ping-pong-c" "qp.rts" &[
        ("    to_rts(end.qp, us[1]);\n", "", "qp.rts"),
        ("    post_receive(&end);\n    uint64_t us", "    uint64_t us", "receive.first"),
        ("out[at] = in[at] + add;", "out[at] = in[at];", "echo.content"),
    ];
    tracks_c_flow_control "flow-control-c" "receive.ready" &[
        (".credit = DEPTH, .free", ".credit = 4 * DEPTH, .free", "receive.ready"),
        (
            "memset(message, (uint8_t)(fill + n), SIZE);",
            "memset(message, (uint8_t)fill, SIZE);",
            "stream.content",
        ),
    ];
    tracks_c_completions "completions-c" "completion.sparse" &[
        ("n % BATCH == BATCH - 1 || n + 1 == blocks", "1", "completion.sparse|stage.waits"),
        (
            "{target.addr + n * SIZE, target.rkey}",
            "{target.addr, target.rkey}",
            "completion.means-done|memory.until-completion",
        ),
    ];
    tracks_c_one_sided "one-sided-c" "write.content" &[
        ("window->remote.addr + at,", "window->remote.addr,", "write.content"),
        ("    memcpy(bytes, window->scratch->addr, length);\n", "", "read.content"),
    ];
    tracks_c_key_value "key-value-c" "kv.found" &[
        ("(key * 0x9e3779b97f4a7c15 >> 32) % slots", "(key & 7) % slots", "kv.bytes"),
        ("        slot = (slot + 1) % client->slots;\n", "        return 0;\n", "kv.found"),
    ];
    tracks_c_atomics "atomics-c" "ticket.once" &[
        (".compare_add = 1}", ".compare_add = 0}", "ticket.once"),
        ("    while (call(client, take) != 0)\n        ;\n", "", "lock.released|lock.excludes"),
    ];
}

verdicts! { C:
    tracks_c_all_reduce "all-reduce-c" "reduce.sum" &[
        ("*number + in[at] : in[at];", "in[at] : in[at];", "reduce.sum"),
        ("(ring->rank + 2 * ranks - step) % ranks,", "(ring->rank + 2 * ranks - step + 1) % ranks,", "reduce.sum"),
    ];
}

verdicts! { C:
    tracks_c_three_ways "three-ways-c" "echo.content" &[
        ("    post_receive(&end);\n    return end;", "    return end;", "receive.first"),
        ("        answer_message(end->outbox->addr, end->inbox->addr, end->size);\n", "", "echo.content"),
        ("message[at] = fill + round + at;", "message[at] = fill + at;", "echo.content"),
        ("        if (wanted[0] == version)\n            break;\n", "        break;\n", "cm.version"),
        ("        MUST(errno == ECONNREFUSED);\n", "        return 0;\n", "stage.waits"),
        (
            "        struct rdma_conn_param param = proposal(&versions[i]);\n",
            "        struct rdma_conn_param param = proposal(&versions[i]);\n        tell(\"server\", 0, NULL);\n",
            "cm.alone",
        ),
        ("    for (size_t have = 0; have < size;) {", "    for (size_t have = 0; have < 1;) {", "stream.bytes|panic"),
        ("        answer_message(message, message, size);\n", "", "stream.bytes"),
        (
            "#include <rdma/rsocket.h>\n",
            "#include <rdma/rsocket.h>\n#define rsocket socket\n#define rbind bind\n#define raccept accept\n\
             #define rconnect connect\n#define rsend send\n#define rclose close\n#undef rlisten\n\
             #define rlisten(socket, backlog) lab_listens(listen(socket, backlog))\n#undef rrecv\n#define rrecv recv\n",
            "stream.card|panic",
        ),
    ];
}

verdicts! { C:
    tracks_c_block_device "block-device-c" "disk.content" &[
        ("        memcpy(target->store[command->block], ", "        memcpy(target->store[0], ", "disk.content"),
        ("        memcpy((void *)buffer.addr, target->store[command.block], BLOCK);\n", "        ;\n", "disk.content"),
        ("        answer(target, command.slot, 1);\n", "        answer(target, command.slot, 0);\n", "disk.bounds"),
        ("if (command.block >= target->blocks) {", "if (command.block + 1 >= target->blocks) {", "disk.bounds"),
        ("(uintptr_t)client->buffers->addr + slot * BLOCK;", "(uintptr_t)client->buffers->addr;", "disk.content"),
        (
            "struct ibv_sge buffer = part(target->buffers, command.slot, BLOCK);",
            "struct ibv_sge buffer = part(target->buffers, 0, BLOCK);",
            "disk.content",
        ),
        (
            "    post(target->qp, DATA + command.slot, buffer, opcode, (struct remote){command.addr, command.rkey});\n}",
            "    post(target->qp, DATA + command.slot, buffer, opcode, (struct remote){command.addr, command.rkey});\n\
             while (wait_for(target->cq).wr_id != DATA + command.slot)\n;\nif (command.kind == WRITE)\n\
             memcpy(target->store[command.block], (void *)buffer.addr, BLOCK);\nanswer(target, command.slot, 0);\n}",
            "stage.waits",
        ),
        // Commands that come meanwhile are put aside.
        (
            "    post(target->qp, DATA + command.slot, buffer, opcode, (struct remote){command.addr, command.rkey});\n}",
            "    post(target->qp, DATA + command.slot, buffer, opcode, (struct remote){command.addr, command.rkey});\n\
             static struct command later[WINDOW];\nstatic int count;\nstruct ibv_wc wc;\n\
             while ((wc = wait_for(target->cq)).wr_id != DATA + command.slot) {\nif (wc.opcode != IBV_WC_RECV)\n\
             continue;\nlater[count++] = ((struct command *)target->commands->addr)[wc.wr_id];\n\
             post_receive(target->qp, target->commands, wc.wr_id, sizeof command);\n}\nif (command.kind == WRITE)\n\
             memcpy(target->store[command.block], (void *)buffer.addr, BLOCK);\nanswer(target, command.slot, 0);\n\
             if (count > 0)\nbegin(target, later[--count]);\n}",
            "disk.depth",
        ),
        ("    uint64_t missing, slot;\n", "    uint64_t missing, slot, more[8];\n", "disk.one-sided"),
        (
            "            post_receive(target->qp, target->commands, wc.wr_id, sizeof command);\n",
            "",
            "stage.waits",
        ),
    ];
}

verdicts! { Python:
    tracks_python_ping_pong "ping-pong-python" "qp.rts" &[("(byte + 1) % 256", "byte", "echo.content")];
    tracks_python_atomics "atomics-python" "ticket.once" &[
        ("counter.rkey, counter.addr, 1)", "counter.rkey, counter.addr, 2)", "ticket.once"),
    ];
}

#[test]
fn tracks_tell_where_a_call_failed_and_what_was_on_the_wire() {
    if !needed(Language::C) {
        return;
    }
    let room = Room::start("ping-pong-c");
    room.solve(".timeout = 13,", ".timeout = 99,");
    let said = room.check();
    assert!(said.contains("Panic   pingpong.c:") && said.contains("not so: !ibv_modify_qp"), "{said}");
    room.solve("out[at] = in[at] + add;", "((volatile uint8_t *)16)[at] = in[at];");
    let said = room.check();
    assert!(said.contains("Panic   pingpong.c:") && said.contains("Segmentation fault"), "{said}");
    room.solve("    post_receive(&end);\n    uint64_t us", "    uint64_t us");
    let said = room.check();
    let replay =
        said.lines().find_map(|line| line.strip_prefix("Replay  ferroce ")).expect("a command to replay it");
    let events = room.run(replay);
    assert!(events.contains("RNR NAK"), "{events}");
}
