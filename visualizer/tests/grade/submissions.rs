//! What thirty students hand in for "A packet by hand".

use std::fs;
use std::path::Path;

/// Name, file (given a path that it must not write), steps that are passed, and words of the message.
pub(crate) type Submission = (&'static str, fn(&str) -> String, usize, &'static str);

pub(crate) fn solution() -> String {
    course("solution.rs")
}

fn course(name: &str) -> String {
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/course/packet-by-hand");
    fs::read_to_string(course.join(name)).unwrap()
}

/// The solution with one place changed.
fn but(from: &str, to: &str) -> String {
    let solution = solution();
    assert_eq!(solution.matches(from).count(), 1, "'{from}' must name one place");
    solution.replace(from, to)
}

/// The solution, which does something else first.
fn first(body: &str) -> String {
    let begin = "    let pad = (4 -";
    but(begin, &format!("{body}\n{begin}"))
}

/// Not the solution, but something that does something else first.
fn instead(body: &str) -> String {
    let begin = "    // Twelve bytes of zeros";
    let starter = course("starter.rs");
    assert_eq!(starter.matches(begin).count(), 1);
    starter.replace(begin, &format!("{body}\n{begin}"))
}

pub(crate) const SUBMISSIONS: &[Submission] = &[
    ("right-1", |_| solution(), 4, ""),
    ("right-2", |_| first("println!(\"hello\");"), 4, ""),
    ("right-3", |_| but("fn crc32(", "#[inline(never)] fn crc32("), 4, ""),
    ("right-grandchild", |_| first("let _ = std::process::Command::new(\"/bin/true\").status();"), 4, ""),
    ("wrong-starter", |_| course("starter.rs"), 0, "bth.opcode"),
    ("wrong-pad", |_| but("&[0; 3][..pad]", "&[0xAA; 3][..pad]"), 1, "pad"),
    ("wrong-reth", |_| but("&va.to_be_bytes()", "&va.to_le_bytes()"), 2, "reth.va"),
    ("wrong-icrc", |_| but("icrc.to_le_bytes()", "icrc.to_be_bytes()"), 3, "bytes in the wrong order"),
    ("wrong-syntax", |_| "pub fn packet() -> Vec<u8> { 0 }".to_owned(), 0, "does not compile"),
    ("wrong-bytes", |_| "\u{0}\u{1b}[31m".repeat(900), 0, "does not compile"),
    ("wrong-empty", |_| String::new(), 0, "does not compile"),
    ("panics", |_| instead("panic!(\"no \\u{1b}[2J\");"), 0, "Panic"),
    ("loops", |_| instead("loop {}"), 0, "stopped after 5 seconds"),
    ("exits", |_| instead("std::process::exit(0);"), 0, "the program ended"),
    ("aborts", |_| instead("std::process::abort();"), 0, "the program ended"),
    (
        "hoards",
        |_| instead("let mut all = vec![vec![1u8; 1 << 20]]; loop { all.push(all[0].clone()); }"),
        0,
        "No answer",
    ),
    (
        "forks",
        |_| {
            instead(
                "loop { let _ = std::process::Command::new(\"/usr/bin/setsid\").args([\"sleep\", \"98765\"]).spawn(); }",
            )
        },
        0,
        "",
    ),
    (
        "threads",
        |_| instead("loop { let _ = std::thread::Builder::new().spawn(|| loop { std::thread::park() }); }"),
        0,
        "",
    ),
    ("floods", |_| instead("loop { println!(\"ok 040000\"); }"), 0, "File too large"),
    (
        "fakes-a-pass",
        |_| instead("println!(\"PASS    packet-by-hand\"); println!(\"ok\"); std::process::exit(0);"),
        0,
        "",
    ),
    (
        "fakes-answers",
        |_| {
            instead(
                "use std::io::Write; use std::os::fd::FromRawFd;
                 let mut socket = unsafe { std::fs::File::from_raw_fd(0) };
                 let _ = socket.write_all(b\"ok PASS\\nok passed\\n\");",
            )
        },
        0,
        "bth.opcode",
    ),
    (
        "writes-outside",
        |loot| instead(&format!("std::fs::write({loot:?}, \"I was here\").unwrap();")),
        0,
        "Permission denied",
    ),
    (
        "writes-by-a-child",
        |loot| {
            instead(&format!(
                "let _ = std::process::Command::new(\"/usr/bin/touch\").arg({loot:?}).status();"
            ))
        },
        0,
        "bth.opcode",
    ),
    (
        "reads-the-solution",
        |_| {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/course/packet-by-hand/solution.rs");
            instead(&format!("std::fs::read({path:?}).unwrap();"))
        },
        0,
        "Permission denied",
    ),
    (
        "includes-the-solution",
        |_| {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../labs/course/packet-by-hand/solution.rs");
            format!("#[path = {path:?}] mod theirs;\npub use theirs::*;")
        },
        0,
        "does not compile",
    ),
    (
        "calls-home",
        |_| {
            instead(
                "std::net::TcpStream::connect(\"127.0.0.1:9\").map_err(|error| panic!(\"{error}\")).ok();",
            )
        },
        0,
        "Panic",
    ),
];
