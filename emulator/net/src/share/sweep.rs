//! What processes leave behind that were killed, or ended without closing their NICs, as C programs do.
//!
//! It is swept up by whoever opens the next NIC, at any address. Nothing is judged by process numbers, which mean
//! something else in another container: sockets and locks say who lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::directory::Alone;
use super::registry::Registry;

/// Files that one sweep looks at, at most.
const MOST: usize = 8192;

/// What the sockets are called by which others look at running NICs.
pub(crate) const LOOKS: &str = "nic-";

/// Removes the files of processes that are no more from the directory.
pub(super) fn sweep(directory: &Path) {
    let mut looks = Vec::new();
    let mut addresses: BTreeMap<PathBuf, Found> = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten().take(MOST) {
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with(LOOKS) {
            looks.push(path);
        } else if let Ok(kind) = entry.file_type()
            && let Some((registry, lane)) = belongs_to(&path, kind)
        {
            let found = addresses.entry(registry).or_default();
            found.registry |= lane.is_none();
            found.lanes.extend(lane);
        }
    }
    if let Some(alone) = Alone::now(directory) {
        looks.iter().filter(|look| is_deserted(look)).for_each(|look| alone.remove(look));
    }
    for (path, found) in addresses {
        sweep_address(path, &found);
    }
}

/// Files of one address.
#[derive(Default)]
struct Found {
    registry: bool,
    /// Those that have sockets.
    lanes: BTreeSet<u8>,
}

/// The registry of which a file is part, and the lane if it is the socket of one.
fn belongs_to(path: &Path, kind: FileType) -> Option<(PathBuf, Option<u8>)> {
    if kind.is_file() {
        return Some((path.to_owned(), None));
    }
    let (registry, lane) = path.to_str()?.rsplit_once('.')?;
    let lane = lane.strip_suffix('+').unwrap_or(lane).parse().ok()?;
    kind.is_socket().then(|| (registry.into(), Some(lane)))
}

/// Strikes out who is no longer at an address. If nobody is, nothing stays of it.
fn sweep_address(path: PathBuf, found: &Found) {
    // Who was killed while coming may have left sockets and no registry. Under its lock they are removed.
    let registry = if found.registry { Registry::existing(path) } else { Registry::at(path) };
    let Ok(registry) = registry else { return };
    // Whoever has it now does the same.
    let Some(_locked) = registry.try_lock(None) else { return };
    if registry.is_current() {
        let deserted = found.lanes.iter().filter(|lane| !registry.is_taken(**lane));
        deserted.for_each(|lane| registry.remove_sockets(*lane));
    }
}

/// Whether no process has a socket any more. Whoever has it does not notice the question, because a datagram socket
/// cannot connect to one of another kind.
fn is_deserted(socket: &Path) -> bool {
    let asked = UnixDatagram::unbound().and_then(|asking| asking.connect(socket));
    asked.is_err_and(|error| error.raw_os_error() == Some(libc::ECONNREFUSED))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_the_dead_left_goes_and_what_the_living_have_stays() {
        let directory = std::env::temp_dir().join(format!("ferroce-sweep-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("lib-1")).unwrap();
        let at = |name: &str| directory.join(name);
        let living = UnixListener::bind(at("nic-1-0")).unwrap();
        drop(UnixListener::bind(at("nic-1-1")).unwrap());
        // Of one address somebody is there, of another nobody, and of a third not even the registry.
        let registry = Registry::at(at("1-127.0.0.1")).unwrap();
        assert!(registry.take_lane(3).unwrap());
        for name in ["1-127.0.0.1.3", "1-127.0.0.1.3+", "1-127.0.0.1.4", "2-::1.0", "2-::1.0+", "3-::2.7"] {
            drop(UnixDatagram::bind(at(name)).unwrap());
        }
        std::fs::write(at("2-::1"), "nonsense").unwrap();
        sweep(&directory);
        let left = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        let left: BTreeSet<_> = left.map(|name| name.into_string().unwrap()).collect();
        let wanted = ["1-127.0.0.1", "1-127.0.0.1.3", "1-127.0.0.1.3+", "lib-1", "nic-1-0"];
        assert_eq!(left, wanted.map(str::to_owned).into());
        living.set_nonblocking(true).unwrap();
        assert!(living.accept().is_err(), "the living were not disturbed");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
