//! The labs about the protocol itself: what is right passes, what is wrong is told by the rule it breaks.

use crate::classroom::lab_tests;

lab_tests! {
    psn "psn" starter: "psn.wraps" "step 1 of 4: add" &[
        ("psn.wrapping_add(count) & MASK", "psn.wrapping_add(count)", "psn.wraps", "add(0xfffff"),
        ("(to.wrapping_sub(from) << 8) as i32 >> 8", "(to.wrapping_sub(from) & MASK) as i32", "psn.half-circle", "seen      1677"),
        ("(to.wrapping_sub(from) << 8) as i32 >> 8", "to as i32 - from as i32", "psn.half-circle", "distance("),
        ("if ack_request { Answer::ExecuteAndAck(psn) } else { Answer::Execute }", "Answer::ExecuteAndAck(psn)", "responder.expected", "seen      ExecuteAndAck"),
        ("Answer::Ack(add(self.expected, MASK))", "Answer::Ack(psn)", "responder.duplicate", "expected  Ack("),
        ("if ack_request { Answer::Ack(add(self.expected, MASK)) } else { Answer::Drop }", "Answer::Drop", "responder.duplicate", "seen      Drop"),
        ("Answer::Nak(self.expected)", "Answer::Nak(psn)", "responder.gap", "expected  Nak("),
        ("            self.reported = true;\n", "", "responder.one-nak", "seen      Nak("),
        ("        self.reported = false;\n", "", "responder.gap", "seen      Drop"),
    ];

    dcqcn "dcqcn" starter: "dcqcn.cut" "rate() is wrong after call 1" &[
        ("self.alpha / 2.0", "self.alpha", "dcqcn.cut", "on_cnp()"),
        ("        self.target = self.rate;\n", "", "dcqcn.increase", "on_increase_timer()"),
        ("(1.0 - G) * self.alpha + G", "(1.0 - G) * self.alpha", "dcqcn.cut", "on_cnp()"),
        ("        self.alpha *= 1.0 - G;\n", "", "dcqcn.cut", "on_alpha_timer()"),
        ("        self.by_time = 0;\n", "", "dcqcn.increase", "on_increase_timer()"),
        ("} else if most > F {", "} else if most >= F {", "dcqcn.increase", "on_increase_timer()"),
        ("(least - F) as f64 * R_HAI", "R_HAI", "dcqcn.increase", "on_byte_counter()"),
        ("        self.target = self.target.min(self.line_rate);\n", "", "dcqcn.increase", "rate() is wrong"),
    ];

    go_back_n "go-back-n" starter: "send.posted" "step 1 of 5: send" &[
        ("|| self.next == self.window", "", "send.window", "without acknowledgement"),
        ("self.next == self.posted || ", "", "send.posted", "all that is posted is sent"),
        ("(self.oldest + self.next) & PSN_MASK", "self.oldest + self.next", "psn.24-bits", "0x1000000"),
        ("self.acknowledge(distance + 1);", "self.acknowledge(distance);", "ack.cumulative", "completed() is"),
        ("self.completed += 1;", "self.completed = 1;", "ack.cumulative", "completed() is 2"),
        (
            "if distance < self.sent {\n            self.acknowledge(distance + 1)",
            "if self.sent > 0 {\n            self.acknowledge(distance.min(self.sent - 1) + 1)",
            "ack.stale",
            "on_ack",
        ),
        (
            "if distance < self.sent {\n            self.acknowledge(distance + 1)",
            "if psn >= self.oldest && distance < self.sent {\n            self.acknowledge(distance + 1)",
            "ack.cumulative|send.progress",
            "completed() is|nothing is sent",
        ),
        (
            "self.acknowledge(distance);\n            self.next = 0;",
            "self.acknowledge(distance + 1);\n            self.next = 0;",
            "nak.restart",
            "on_nak",
        ),
        (
            "self.acknowledge(distance);\n            self.next = 0;",
            "self.acknowledge(distance);",
            "nak.restart",
            "on_nak",
        ),
        (
            "self.acknowledge(distance);\n            self.next = 0;",
            "self.acknowledge(distance);\n            self.next = 1;",
            "nak.restart",
            "on_nak",
        ),
        (
            "pub fn on_timeout(&mut self) {\n        self.next = 0;",
            "pub fn on_timeout(&mut self) {",
            "timeout.restart",
            "on_timeout()",
        ),
        (
            "self.next = self.next.saturating_sub(packets);",
            "self.next = 0;",
            "send.posted|send.order",
            "is sent",
        ),
    ];

    selective_repeat "selective-repeat" starter: "send.posted" "step 1 of 4: window" &[
        (" || next == self.window", "", "send.window", "without acknowledgement"),
        ("next == self.posted || ", "", "send.posted", "all that is posted is sent"),
        ("        Some((self.oldest + next) & PSN_MASK)", "        Some(self.oldest + next)", "psn.24-bits", "0x1000000"),
        ("            self.acknowledge(distance + 1);", "            self.acknowledge(distance);", "ack.cumulative", "completed() is"),
        ("            self.acknowledge(distance);\n        }\n        if let", "            self.acknowledge(distance + 1);\n        }\n        if let", "repeat.missing", "on_gap"),
        ("                if *known == Known::Sent {", "                if *known != Known::Arrived {", "repeat.once|send.order|repeat.missing|send.progress|send.window", "is sent"),
        ("            self.sent[distance as usize] = Known::Arrived;\n", "", "repeat.once|repeat.missing|repeat.timeout|send.order", "is sent"),
        ("            self.sent[lost] = Known::Repaired;", "            self.sent[lost] = Known::Sent;", "repeat.once|repeat.missing|repeat.timeout|send.order", "is sent"),
        ("            if *known != Known::Arrived {\n                *known = Known::Lost;", "            if *known == Known::Sent {\n                *known = Known::Lost;", "repeat.timeout", "is sent"),
        ("            if *known != Known::Arrived {\n                *known = Known::Lost;", "            if true {\n                *known = Known::Lost;", "repeat.timeout|repeat.missing|repeat.once|send.order|send.progress", "is sent"),
        ("for known in self.sent.range_mut(..distance as usize) {", "for known in self.sent.range_mut(..1) {", "repeat.missing|send.order|repeat.timeout", "is sent"),
        ("            for known in self.sent.range_mut(..distance as usize) {", "            for known in self.sent.iter_mut() {", "repeat.once", "is sent"),
    ];

    memory_keys "memory-keys" starter: "key.range" "step 1 of 4: range" &[
        ("if begin > region.len || len > region.len - begin {", "if begin.wrapping_add(len) > region.len {", "key.range", "seen      Ok"),
        ("if begin > region.len || len > region.len - begin {", "if begin >= region.len || len > region.len - begin {", "key.opens", "denied: range"),
        ("if begin > region.len || len > region.len - begin {", "if begin > region.len {", "key.range", "seen      Ok"),
        ("addr.checked_sub(region.addr).ok_or(Denied::Range)?", "addr.saturating_sub(region.addr)", "key.range", "seen      Ok"),
        ("region.rights & need == 0", "region.rights == 0", "key.rights", "denied: rights"),
        ("region.domain != domain", "false", "key.domain", "denied: domain"),
        ("        self.regions.remove(&key);\n", "        let _ = key;\n", "key.gone", "denied: key"),
        ("self.secret.hash_one(self.registered) as u32", "(self.registered as u32) << 8", "key.guess", "different steps"),
        ("self.secret.hash_one(self.registered) as u32", "(1..).find(|key| !self.regions.contains_key(key)).unwrap()", "key.gone", "denied: key"),
    ];
}
