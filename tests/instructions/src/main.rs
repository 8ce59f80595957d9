//! Holds the engine to its budgets of instructions, which, unlike times, do not depend on what else the machine does.
//! `tests/run unit` runs this.
//!
//! `valgrind --tool=callgrind` runs this program again for each budget, with so many messages and with twice as many;
//! the difference is free of what starting costs. Valgrind shows programs the same processor wherever the real one
//! has AVX2, so that they choose the same instructions.

mod budgets;

use std::env;
use std::io::{Error, ErrorKind, Result};
use std::process::{Command, ExitCode};

use budgets::BUDGETS;
use ferroce_instructions::Pair;

/// Below this share of a budget something has become so much cheaper that the budget guards nothing.
const FAR_BELOW: f64 = 0.85;

/// From some length on, which depends on the version of glibc, `memcpy` is one repeated instruction, which is counted
/// for every byte. Not here.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=1073741824";

/// What to do where a budget is exceeded.
const EXCEEDED: &str = "
What has become dearer? `callgrind_annotate FILE` shows it, after
    valgrind --tool=callgrind --callgrind-out-file=FILE target/release/ferroce-instructions LINE
where LINE is the number of the failed line, here and on the commit before. If it is worth that, raise the budget in
tests/instructions/src/budgets.rs, in the same commit, which says why.
";

const FAR_BELOW_NOW: &str =
    "; lower the budget in tests/instructions/src/budgets.rs, so that it keeps what was won";

fn main() -> ExitCode {
    let mut args = env::args().skip(1).map_while(|arg| arg.parse().ok());
    if let Some(budget) = args.next().and_then(|line: u32| BUDGETS.get(line as usize)) {
        let times = args.next().unwrap_or(1);
        Pair::new(budget.sealed).play(budget.request, budget.len, budget.batches() * times);
        return ExitCode::SUCCESS;
    }
    let [passed, failed, skipped] = if let Some(why) = obstacle() {
        println!("SKIPPED counting instructions: {why}");
        // A machine of CI's is set up by the project itself.
        if env::var("CI").is_ok_and(|value| value == "true") { [0, 1, 0] } else { [0, 0, 1] }
    } else {
        let failed = (0..BUDGETS.len()).filter(|line| !is_kept(*line)).count();
        if failed > 0 {
            println!("{EXCEEDED}");
        }
        [BUDGETS.len() - failed, failed, 0]
    };
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

/// Why nothing can be counted here.
fn obstacle() -> Option<&'static str> {
    match (is_comparable(), has_valgrind()) {
        (false, _) => Some("the budgets are for x86-64 processors with AVX2"),
        (true, false) => Some("valgrind is not installed (Debian: valgrind)"),
        (true, true) => None,
    }
}

/// Whether programs choose the instructions here that the budgets were made for.
fn is_comparable() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

fn has_valgrind() -> bool {
    let probe = Command::new("valgrind").arg("--version").output();
    !probe.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Counts, and tells what came of it.
fn is_kept(line: usize) -> bool {
    let budget = &BUDGETS[line];
    let counted = match count(line, 1).and_then(|once| Ok((count(line, 2)? - once) / budget.units())) {
        Ok(counted) => counted,
        Err(error) => {
            println!("FAIL {line} {}: {error}", budget.name);
            return false;
        }
    };
    let (verdict, more) = match counted as f64 / budget.most as f64 {
        share if share > 1.0 => ("FAIL", ""),
        share if share < FAR_BELOW => ("ok  ", FAR_BELOW_NOW),
        _ => ("ok  ", ""),
    };
    println!("{verdict} {line} {:<36} {counted:>5} instructions of {:>5}{more}", budget.name, budget.most);
    counted <= budget.most
}

/// Instructions of a whole run of this program, for the budget in that line, so many times.
fn count(line: usize, times: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args([line.to_string(), times.to_string()])
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let counted = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.ok_or_else(|| Error::other(format!("valgrind failed\n{told}")))
}
