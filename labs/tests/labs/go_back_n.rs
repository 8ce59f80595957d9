//! "Go-back-N": what is right passes, what is wrong is told by the rule it breaks.

use ferroce_labs::fresh_seed;

use crate::classroom::{Classroom, Mutant, reject, solution_passes};

const LAB: &str = "go-back-n";

#[test]
fn the_starter_sends_what_nobody_posted() {
    let failure = Classroom::new(LAB).fail(fresh_seed());
    assert_eq!(failure.rule(), Some("send.posted"), "{failure}");
    assert!(failure.to_string().contains("step 1 of 5: send"), "{failure}");
}

#[test]
fn the_solution_passes_whatever_the_seed() {
    solution_passes(LAB);
}

const MUTANTS: [Mutant; 12] = [
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
        "ack.cumulative",
        "completed() is",
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
        "send.posted",
        "all that is posted is sent",
    ),
];

#[test]
fn wrong_requesters_are_told_by_the_rule_they_break() {
    reject(LAB, &MUTANTS);
}
