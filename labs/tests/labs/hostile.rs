//! Files that do not want to be checked: every check ends, and says why it failed.

use ferroce_labs::Failure;

use crate::classroom::{Classroom, mutant};

/// Checks the solution with `body` put in front of everything that `packet` does.
fn fail_with(body: &str) -> Failure {
    let room = Classroom::new("packet-by-hand");
    let begin = "    let pad = (4 -";
    room.write(&mutant("packet-by-hand", begin, &format!("{body}\n{begin}")));
    let failure = room.fail(7);
    assert_eq!(failure.rule(), None, "{failure}");
    failure
}

#[track_caller]
fn says(failure: &Failure, words: &str) {
    let text = failure.to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(words), "no '{words}' in\n{failure}");
}

#[test]
fn a_loop_without_end_is_stopped() {
    says(&fail_with("loop {}"), "stopped after 5 seconds");
}

#[test]
fn output_without_end_is_stopped() {
    says(&fail_with("loop { println!(\"hello\"); }"), "more than 1 MiB");
}

#[test]
fn a_panic_is_told_with_its_place() {
    let failure =
        fail_with("if message.payload.len() == 2 { let _ = message.payload[message.payload.len()]; }");
    says(&failure, "packet.rs:");
    says(&failure, "index out of bounds: the len is 2 but the index is 2");
    says(&failure, "step 2 of 4: pad (seed 7, question 3 of 32)");
}

#[test]
fn memory_without_end_ends() {
    says(
        &fail_with("let mut all = vec![vec![1u8; 1 << 20]]; loop { all.push(all[0].clone()); }"),
        "memory is 512 MiB",
    );
}

#[test]
fn an_early_exit_is_no_way_out() {
    says(&fail_with("std::process::exit(0);"), "the program ended (exit status: 0)");
}

#[test]
fn endless_recursion_ends() {
    let body = "fn down(n: u64) -> u64 { std::hint::black_box(down(std::hint::black_box(n)) + 1) }
                if down(0) == 1 { return Vec::new(); }";
    let failure = fail_with(body);
    says(&failure, "the program ended (signal: 6");
    says(&failure, "has overflowed its stack");
}

#[test]
fn a_grandchild_does_not_keep_the_check() {
    let body = "std::process::Command::new(\"sleep\").arg(\"1000\").spawn().unwrap(); loop {}";
    says(&fail_with(body), "stopped after 5 seconds");
}

#[test]
fn a_file_that_does_not_compile_is_told_in_the_compilers_words() {
    let room = Classroom::new("packet-by-hand");
    room.write("pub fn packet() -> Vec<u8> { 0 }");
    let failure = room.fail(7);
    says(&failure, "packet.rs does not compile");
    says(&failure, "error[E");
    room.write(&"x ".repeat(100_000));
    says(&room.fail(7), "packet.rs does not compile");
}

#[test]
fn prints_of_the_student_are_left_alone() {
    let room = Classroom::new("packet-by-hand");
    room.write(&mutant(
        "packet-by-hand",
        "    let pad",
        "    print!(\"answer- 0 ok 00\"); eprintln!(\"!\");\n    let pad",
    ));
    assert_eq!(room.check(7).passed.len(), 4);
}
