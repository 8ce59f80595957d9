//! The labs in which functions are written: what is right passes, what is wrong is told by the rule it breaks.

use crate::classroom::lab_tests;

lab_tests!(qp_states, "qp-states", starter: "qp.path" "seen      true", &[
    ("(State::Reset, State::Err) => None,", "(State::Reset, State::Rtr) => Some((&[], &[])),", "qp.path", "modify(Reset, "),
    ("(_, State::Reset | State::Err) => Some((&[], &[])),", "(State::Rts, State::Reset | State::Err) => Some((&[], &[])),", "qp.path", "seen      false"),
    ("(State::Init, State::Init) =>", "(State::Rtr, State::Rtr) =>", "qp.path", "modify(Init, Init"),
    ("DestQpn, RqPsn, MaxDest", "RqPsn, MaxDest", "qp.path", "modify(Init, Rtr"),
    ("&[SqPsn, Timeout, RetryCnt, RnrRetry, MaxQpRdAtomic], &[AccessFlags", "&[SqPsn], &[Timeout, RetryCnt, RnrRetry, MaxQpRdAtomic, AccessFlags", "qp.required", "modify(Rtr, Rts"),
    ("    has_all && has_no_other", "    has_all || !has_no_other", "qp.unknown|qp.required", "expected  false"),
    ("    has_all && has_no_other", "    has_all", "qp.unknown", "expected  false"),
    ("(State::Init | State::Rtr, Queue::Receive)", "(State::Rtr, Queue::Receive)", "qp.post", "post(Init, Receive)"),
    ("(State::Rts, _) =>", "(State::Rtr | State::Rts, _) =>", "qp.post", "post(Rtr, Send)"),
    ("(State::Err, _) => Posted::Flushed", "(State::Err, _) => Posted::Refused", "qp.post", "expected  Flushed"),
]);

lab_tests!(livelock, "livelock", starter: "livelock.go-back-0" "step 1 of 3: stuck", &[
    ("    packets < period\n", "    packets <= period\n", "livelock.go-back-0", "expected  false"),
    ("    packets < period\n", "    packets + 1 < period\n", "livelock.go-back-0", "expected  true"),
    ("    missing\n", "    message\n", "livelock.progress", "packets were sent"),
    ("    missing\n", "    missing + 1\n", "restart.missing", "would never come"),
    ("    missing\n", "    message + (missing - message) / 2\n", "livelock.progress", "packets were sent"),
    ("(packets - 1) / (period - 1)", "packets / period", "livelock.cost", "sent("),
    ("(packets - 1) / (period - 1)", "packets / (period - 1)", "livelock.cost", "sent("),
]);

lab_tests!(pfc, "pfc", starter: "pfc.headroom" "headroom(", &[
    ("2 * cable * 5 * rate", "cable * 5 * rate", "pfc.headroom", "headroom("),
    ("2 * mtu + 64", "mtu + 64", "pfc.headroom", "headroom("),
    ("2 * cable * 5 * rate / 8_000_000_000", "2 * (cable * 5 / 8) * (rate / 1_000_000_000)", "pfc.headroom", "headroom("),
    ("self.stored <= self.xoff ||", "self.stored < self.xoff ||", "pfc.xoff", "Tell::Nothing is right"),
    ("self.stored > self.xon ||", "self.stored >= self.xon ||", "pfc.xon", "Tell::Resume is right"),
    ("        self.paused = true;\n", "", "pfc.xoff|pfc.xon", "is right with"),
    ("        self.paused = false;\n", "", "pfc.xoff|pfc.xon", "is right with"),
    ("return before > 0;", "return waits.iter().any(|(a, b)| waits.contains(&(*b, *a)));", "pfc.deadlock", "is_deadlock("),
    ("    let mut left = waits.to_vec();\n", "    let mut left = waits.to_vec();\n    left.retain(|(a, b)| a != b);\n", "pfc.deadlock", "expected  true"),
]);

lab_tests!(attacker, "attacker", starter: "attack.step" "expected  Some(", &[
    ("!rest.is_empty() && ", "", "attack.doubt", "expected  None"),
    ("rest.iter().all(|&step| step == first)", "rest.first() == Some(&first)", "attack.doubt", "expected  None"),
    ("last.wrapping_add(first)", "last.saturating_add(first)", "attack.step", "expected  Some("),
    ("(1u64 << bits).div_ceil(rate)", "(1u64 << bits) / rate", "attack.time", "seconds("),
    ("(1u64 << bits).div_ceil(rate)", "(1u64 << (bits - 1)).div_ceil(rate)", "attack.time", "seconds("),
    ("match psn.wrapping_sub(expected) & 0xFF_FFFF {", "match psn.wrapping_sub(expected) {", "attack.psn", "inject("),
    ("1..0x80_0000 =>", "1..=0x80_0000 =>", "attack.psn", "expected  Ignored"),
    ("0 => Effect::CarriedOut,", "0 => Effect::GoBack,", "attack.psn", "expected  CarriedOut"),
]);

lab_tests!(broken_session, "broken-session", starter: "session.icrc" "expected  Icrc", &[
    ("if is_wrong { Fault::Icrc } else { Fault::Unreachable }", "Fault::Unreachable", "session.icrc", "expected  Icrc"),
    ("if is_wrong { Fault::Icrc } else { Fault::Unreachable }", "Fault::Icrc", "session.unreachable", "expected  Unreachable"),
    ("if has(Kind::RnrNak) && !is_acked {", "if has(Kind::RnrNak) {", "session.recovered", "RnrNak"),
    ("requests().all(|packet| packet.psn != psn)", "requests().count() > 0", "session.recovered", "SequenceNak"),
    ("return Fault::PathMtu;", "return Fault::Key;", "session.path-mtu", "expected  PathMtu"),
    ("return Fault::Key;", "return Fault::Nothing;", "session.key", "expected  Key"),
    ("return Fault::NoReceive;", "return Fault::Unreachable;", "session.no-receive", "expected  NoReceive"),
]);
