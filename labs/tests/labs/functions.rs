//! The labs in which functions are written: what is right passes, what is wrong is told by the rule it breaks.

use crate::classroom::lab_tests;

lab_tests! {
    qp_states "qp-states" starter: "qp.path" "seen      true" &[
        ("(State::Reset, State::Err) => None,", "(State::Reset, State::Rtr) => Some((&[], &[])),", "qp.path", "modify(Reset, "),
        ("(_, State::Reset | State::Err) => Some((&[], &[])),", "(State::Rts, State::Reset | State::Err) => Some((&[], &[])),", "qp.path", "seen      false"),
        ("(State::Init, State::Init) =>", "(State::Rtr, State::Rtr) =>", "qp.path", "modify(Init, Init"),
        ("DestQpn, RqPsn, MaxDest", "RqPsn, MaxDest", "qp.path", "modify(Init, Rtr"),
        ("&[SqPsn, Timeout, RetryCnt, RnrRetry, MaxQpRdAtomic], &[AccessFlags", "&[SqPsn], &[Timeout, RetryCnt, RnrRetry, MaxQpRdAtomic, AccessFlags", "qp.required", "modify(Rtr, Rts"),
        ("    has_all && has_no_other", "    has_all || !has_no_other", "qp.unknown", "expected  false"),
        ("    has_all && has_no_other", "    has_all", "qp.unknown", "expected  false"),
        ("(State::Init | State::Rtr, Queue::Receive)", "(State::Rtr, Queue::Receive)", "qp.post", "post(Init, Receive)"),
        ("(State::Rts, _) =>", "(State::Rtr | State::Rts, _) =>", "qp.post", "post(Rtr, Send)"),
        ("(State::Err, _) => Posted::Flushed", "(State::Err, _) => Posted::Refused", "qp.post", "expected  Flushed"),
    ];

    icrc "icrc" starter: "icrc.crc32" "crc32(313233343536373839)" &[
        ("0xEDB8_8320", "0x04C1_1DB7", "icrc.crc32", "crc32("),
        ("    !register\n", "    register\n", "icrc.crc32", "crc32("),
        ("let mut register = !0_u32;", "let mut register = 0_u32;", "icrc.crc32", "crc32("),
        ("icrc(datagram, &[1, 8, 10, 11, 20 + 6", "icrc(datagram, &[1, 10, 11, 20 + 6", "icrc.ipv4", "icrc_ipv4()"),
        ("20 + 7, 28 + 4]", "20 + 7]", "icrc.ipv4", "icrc_ipv4()"),
        ("    let mut covered = vec![0xFF; 8];", "    let mut covered = vec![0; 8];", "icrc.ipv4", "icrc_ipv4()"),
        ("datagram[0] |= 0x0F;", "datagram[0] = 0xFF;", "icrc.ipv6", "icrc_ipv6()"),
        ("&[1, 2, 3, 7, 40 + 6", "&[1, 2, 3, 40 + 6", "icrc.ipv6", "icrc_ipv6()"),
        ("icrc_ipv6(covered) == *found", "icrc_ipv6(covered).iter().rev().eq(found)", "icrc.accept", "expected  true"),
        ("        Some(6) =>", "        Some(9) =>", "icrc.accept", "expected  true"),
        ("icrc_ipv4(covered) == *found", "icrc_ipv4(covered)[..2] == found[..2]", "icrc.reject", "expected  false"),
    ];

    livelock "livelock" starter: "livelock.go-back-0" "step 1 of 3: stuck" &[
        ("    packets < period\n", "    packets <= period\n", "livelock.go-back-0", "expected  false"),
        ("    packets < period\n", "    packets + 1 < period\n", "livelock.go-back-0", "expected  true"),
        ("    missing\n", "    message\n", "livelock.progress", "packets were sent"),
        ("    missing\n", "    missing + 1\n", "restart.missing", "would never come"),
        ("    missing\n", "    message + (missing - message) / 2\n", "livelock.progress", "packets were sent"),
        ("(packets - 1) / (period - 1)", "packets / period", "livelock.cost", "sent("),
        ("(packets - 1) / (period - 1)", "packets / (period - 1)", "livelock.cost", "sent("),
    ];

    pfc "pfc" starter: "pfc.headroom" "headroom(" &[
        ("2 * cable * 5 * rate", "cable * 5 * rate", "pfc.headroom", "headroom("),
        ("2 * mtu + 64", "mtu + 64", "pfc.headroom", "headroom("),
        ("2 * cable * 5 * rate / 8_000_000_000", "2 * (cable * 5 / 8) * (rate / 1_000_000_000)", "pfc.headroom", "headroom("),
        ("self.stored <= self.xoff ||", "self.stored < self.xoff ||", "pfc.xoff", "Tell::Nothing is right"),
        ("self.stored > self.xon ||", "self.stored >= self.xon ||", "pfc.xon", "Tell::Resume is right"),
        ("        self.paused = true;\n", "", "pfc.xoff", "is right with"),
        ("        self.paused = false;\n", "", "pfc.xon", "is right with"),
        ("return before > 0;", "return waits.iter().any(|(a, b)| waits.contains(&(*b, *a)));", "pfc.deadlock", "is_deadlock("),
        ("    let mut left = waits.to_vec();\n", "    let mut left = waits.to_vec();\n    left.retain(|(a, b)| a != b);\n", "pfc.deadlock", "expected  true"),
    ];

    attacker "attacker" starter: "attack.step" "expected  Some(" &[
        ("!rest.is_empty() && ", "", "attack.doubt", "expected  None"),
        ("rest.iter().all(|&step| step == first)", "rest.first() == Some(&first)", "attack.doubt", "expected  None"),
        ("last.wrapping_add(first)", "last.saturating_add(first)", "attack.step", "expected  Some("),
        ("(1u64 << bits).div_ceil(rate)", "(1u64 << bits) / rate", "attack.time", "seconds("),
        ("(1u64 << bits).div_ceil(rate)", "(1u64 << (bits - 1)).div_ceil(rate)", "attack.time", "seconds("),
        ("match psn.wrapping_sub(expected) & 0xFF_FFFF {", "match psn.wrapping_sub(expected) {", "attack.psn", "inject("),
        ("1..0x80_0000 =>", "1..=0x80_0000 =>", "attack.psn", "expected  Ignored"),
        ("0 => Effect::CarriedOut,", "0 => Effect::GoBack,", "attack.psn", "expected  CarriedOut"),
    ];

    broken_session "broken-session" starter: "session.icrc" "expected  Icrc" &[
        ("if is_wrong { Fault::Icrc } else { Fault::Unreachable }", "Fault::Unreachable", "session.icrc", "expected  Icrc"),
        ("if is_wrong { Fault::Icrc } else { Fault::Unreachable }", "Fault::Icrc", "session.unreachable", "expected  Unreachable"),
        ("if has(Kind::RnrNak) && !is_acked {", "if has(Kind::RnrNak) {", "session.recovered", "RnrNak"),
        ("requests().all(|packet| packet.psn != psn)", "requests().count() > 0", "session.recovered", "SequenceNak"),
        ("return Fault::PathMtu;", "return Fault::Key;", "session.path-mtu", "expected  PathMtu"),
        ("return Fault::Key;", "return Fault::Nothing;", "session.key", "expected  Key"),
        ("return Fault::NoReceive;", "return Fault::Unreachable;", "session.no-receive", "expected  NoReceive"),
    ];

    interop "interop" starter: "capture.frame" "seen      None" &[
        ("usize::from(ip.first()? & 15)", "usize::from(ip.first()? >> 4)", "capture.frame", "expected  opcode"),
        ("|| ip[9] != 17 ", "", "capture.frame", "expected  None"),
        (" || udp[2..4] != 4791_u16.to_be_bytes()", "", "capture.frame", "expected  None"),
        ("psn: number(9),", "psn: number(5),", "capture.frame", "expected  opcode"),
        ("if answers.is_empty() {", "if answers.len() > 99 {", "session.explained", "expected  Unreachable"),
        ("    if answers.contains(&ACCESS) {\n        return Fault::Key;", "    if answers.contains(&ACCESS) {\n        return Fault::PathMtu;", "session.explained", "expected  Key"),
        ("if answers.iter().any(|&syndrome| is_ack(syndrome)) {", "if false {", "session.explained", "expected  Nothing"),
        ("Settings { first_psn: nak.psn, ..settings }", "Settings { first_psn: nak.psn, rnr_retry: 7, ..settings }", "session.mended", "expected  first_psn"),
        ("settings.path_mtu / 2", "256", "session.mended", "expected  first_psn"),
        ("Settings { rnr_retry: 7, ..settings }", "Settings { rnr_retry: settings.rnr_retry + 1, ..settings }", "session.mended", "rnr_retry 7"),
    ];

    savings "savings" starter: "cost.sockets" "step 1 of 3: sockets" &[
        ("        Call::Wait => 0,", "        Call::Wait => 1,", "cost.sockets", "expected  crossings"),
        ("crossings: calls.len() as u64,", "crossings: calls.iter().filter(|call| !matches!(call, Call::Wait)).count() as u64,", "cost.sockets", "expected  crossings"),
        ("Verb::PollCq | Verb::ReqNotifyCq => false,", "Verb::PollCq => false,\n        Verb::ReqNotifyCq => true,", "cost.verbs", "ReqNotifyCq"),
        ("        Verb::GetCqEvent => true,", "        Verb::GetCqEvent => false,", "cost.verbs", "GetCqEvent"),
        ("count() as u64, copied: 0 }", "count() as u64, copied: verbs.len() as u64 }", "cost.verbs", "copied 0"),
        ("Some(setup.div_ceil(saved))", "Some(setup / saved)", "cost.break-even", "expected  Some"),
        ("Some(setup.div_ceil(saved))", "Some(setup / saved + 1)", "cost.break-even", "expected  Some"),
        ("bytes * socket_per_byte;", "socket_per_byte;", "cost.break-even", "pays_after("),
        ("    if setup == 0 {\n", "    if socket == verbs_fixed {\n", "cost.break-even", "pays_after("),
        ("    if setup == 0 {\n        return Some(0);\n    }\n", "", "cost.break-even", "expected  Some(0)"),
    ];
}
