//! What a given program would miss under `ferroce run`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ferroce_visualizer::machine::{Check, Standing};

use super::elf::Elf;
use crate::commands::run::library;
use crate::failure::Failure;

/// The libraries that Ferroce stands in for.
const OURS: [&str; 2] = ["libibverbs.so.1", "librdmacm.so.1"];

/// The largest program that is looked at.
const LARGEST: u64 = 1 << 30;

/// Set-user-ID and set-group-ID.
const PRIVILEGED: u32 = 0o6000;

/// Looks at a program as `ferroce run` would start it.
pub(super) fn checks(name: &str) -> Result<Vec<Check>, Failure> {
    let path = find(name).ok_or_else(|| {
        Failure::new(format_args!("there is no program {name}"), "check its name, or install it")
    })?;
    let bytes = read(&path)?;
    let ours = read(&library::find()?)?;
    let offered: BTreeSet<(String, String)> =
        Elf::parse(&ours).map(|elf| elf.offers.into_iter().collect()).unwrap_or_default();
    let mode = fs::metadata(&path).map_or(0, |found| found.permissions().mode());
    Ok(look(&path, &bytes, mode, &offered))
}

fn look(path: &Path, bytes: &[u8], mode: u32, offered: &BTreeSet<(String, String)>) -> Vec<Check> {
    let check = |feature, standing, found: String, remedy: Option<&str>| Check {
        feature,
        standing,
        found,
        remedy: remedy.map(str::to_owned),
    };
    let shown = path.display();
    if bytes.starts_with(b"#!") {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let found = format!("{shown} is a script ({})", String::from_utf8_lossy(first));
        let next = "ask about the programs that it starts; all of them find Ferroce";
        return vec![check("kind", Standing::Good, found, Some(next))];
    }
    let Some(elf) = Elf::parse(bytes) else {
        let found = format!("{shown} is no program for Linux on 64 bits");
        return vec![check("kind", Standing::Missing, found, Some("build it for this machine"))];
    };
    if !elf.dynamic {
        let found = format!("{shown} is linked statically: it loads no libraries");
        return vec![check("kind", Standing::Missing, found, Some("link it dynamically"))];
    }
    let mut all =
        vec![check("kind", Standing::Good, format!("{shown} loads its libraries when it starts"), None)];
    if mode & PRIVILEGED != 0 {
        let found =
            "it runs with more rights than its user, and so loads the system's libraries only".to_owned();
        all.push(check("rights", Standing::Missing, found, Some("run a copy of it without these rights")));
    }
    all.push(libraries(&elf));
    all.extend(symbols(&elf, offered));
    all
}

/// Which of the two libraries it needs.
fn libraries(elf: &Elf) -> Check {
    let needed: Vec<&str> =
        OURS.into_iter().filter(|name| elf.needed.iter().any(|own| own == name)).collect();
    let (found, remedy) = match needed.is_empty() {
        true => (
            "it needs neither libibverbs nor librdmacm itself".to_owned(),
            Some("if it loads them later, or by another library, ask about that library".to_owned()),
        ),
        false if elf.paths.is_empty() => (format!("it needs {}", needed.join(" and ")), None),
        false => {
            let paths = elf.paths.join(":");
            (
                format!(
                    "it needs {}, and looks in {paths} first; what `ferroce run` preloads comes before",
                    needed.join(" and ")
                ),
                None,
            )
        }
    };
    Check { feature: "libraries", standing: Standing::Good, found, remedy }
}

/// Names that it needs of those libraries, and that Ferroce does not have.
fn symbols(elf: &Elf, offered: &BTreeSet<(String, String)>) -> Option<Check> {
    let wanted: Vec<_> = elf.wants.iter().filter(|(_, _, from)| OURS.contains(&from.as_str())).collect();
    if wanted.is_empty() {
        return None;
    }
    let lacking: Vec<String> = wanted
        .iter()
        .filter(|(name, version, _)| !offered.contains(&(name.clone(), version.clone())))
        .map(|(name, version, _)| format!("{name}@{version}"))
        .collect();
    Some(match lacking.is_empty() {
        true => Check {
            feature: "symbols",
            standing: Standing::Good,
            found: format!("all {} names that it needs are there", wanted.len()),
            remedy: None,
        },
        false => Check {
            feature: "symbols",
            standing: Standing::Missing,
            found: format!("not there: {}", lacking.join(", ")),
            remedy: Some(
                "it was built for another version of rdma-core: build it with that of Debian 12".to_owned(),
            ),
        },
    })
}

/// A path, or a program on `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places).map(|place| place.join(name)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let done = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    done.map_err(|error| {
        Failure::new(format_args!("cannot read {}: {error}", path.display()), "check that you may read it")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(bytes: &[u8], mode: u32) -> Vec<Standing> {
        look(Path::new("it"), bytes, mode, &BTreeSet::new()).iter().map(|check| check.standing).collect()
    }

    #[test]
    fn what_cannot_load_libraries_is_told() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(standings(&own, 0o755), [Standing::Good; 2]);
        assert!(standings(&own, 0o4755).contains(&Standing::Missing));
        assert_eq!(standings(b"#!/bin/sh\n", 0o755), [Standing::Good]);
        assert_eq!(standings(b"MZ", 0o755), [Standing::Missing]);
    }

    #[test]
    fn names_that_are_not_there_are_told() {
        let wants = |name: &str| (name.to_owned(), "IBVERBS_1.1".to_owned(), OURS[0].to_owned());
        let elf = Elf { dynamic: true, wants: vec![wants("ibv_reg_mr"), wants("ibv_new")], ..Elf::default() };
        let offered = BTreeSet::from([("ibv_reg_mr".to_owned(), "IBVERBS_1.1".to_owned())]);
        let check = symbols(&elf, &offered).unwrap();
        assert_eq!(
            (check.standing, check.found.as_str()),
            (Standing::Missing, "not there: ibv_new@IBVERBS_1.1")
        );
    }
}
