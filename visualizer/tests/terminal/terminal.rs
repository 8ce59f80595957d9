//! A terminal of tmux's, with a server of its own.

use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How often a screen is looked at before it is given up: a minute and more, on a machine that has other things to do.
const LOOKS: u32 = 1_200;

/// Whether there is a tmux. In CI there must be.
pub(crate) fn has_tmux() -> bool {
    let found = Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    assert!(found || std::env::var_os("CI").is_none(), "there is no tmux: install the package tmux");
    if !found {
        eprintln!("SKIPPED: there is no tmux; the package tmux has it");
    }
    found
}

/// A terminal in which the program runs.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs `ferroce ARGS` in a terminal of this size. When it ends, the screen says so.
    pub(crate) fn run(args: &str, width: u16, height: u16) -> Terminal {
        Terminal::run_program(&format!("'{}' {args}", env!("CARGO_BIN_EXE_ferroce")), width, height)
    }

    /// Runs a line of the shell, that is a program and its arguments.
    pub(crate) fn run_program(line: &str, width: u16, height: u16) -> Terminal {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let terminal = Terminal { socket: format!("ferroce-{}-{number}", std::process::id()) };
        // A child of the shell, so that signals can be sent to it alone.
        let shell = format!("{line}; echo \"ended with $?\"; sleep 1000");
        let size = [width.to_string(), height.to_string()];
        let new =
            ["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], "sh", "-c", &shell];
        let mut command = terminal.tmux(&new);
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        terminal
    }

    /// Presses keys by tmux's names.
    pub(crate) fn press(&self, keys: &[&str]) {
        for key in keys {
            self.say(&["send-keys", key]);
        }
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        let text = self.say(&["capture-pane", "-p"]);
        text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// Whether there is nothing on the screen but text: no colours, no bold letters.
    pub(crate) fn is_plain(&self) -> bool {
        !self.say(&["capture-pane", "-e", "-p"]).contains('\u{1b}')
    }

    /// Waits until the screen is the one that is kept under this name. `FERROCE_BLESS=1` keeps the one that there is.
    pub(crate) fn wait_for_screen(&self, name: &str) {
        let path = format!("{}/tests/terminal/screens/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("FERROCE_BLESS").is_some() {
            std::thread::sleep(Duration::from_secs(2));
            std::fs::write(&path, self.screen()).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        self.wait(&path, || self.screen() == kept);
    }

    /// Waits until these words are on the screen.
    pub(crate) fn wait_for(&self, words: &str) {
        self.wait(words, || self.screen().contains(words));
    }

    /// Waits until the cursor can be seen.
    pub(crate) fn wait_for_cursor(&self) {
        self.wait("a cursor", || self.say(&["display-message", "-p", "#{cursor_flag}"]).trim() == "1");
    }

    /// Whether a program has a screen of its own in front.
    pub(crate) fn is_alternate(&self) -> bool {
        self.say(&["display-message", "-p", "#{alternate_on}"]).trim() == "1"
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        let shell = self.say(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let child = std::fs::read_to_string(children).unwrap();
        let status = Command::new("kill").args(["-s", name, child.trim()]).status().unwrap();
        assert!(status.success());
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..LOOKS {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no {what:?} on the screen:\n{}", self.screen());
    }

    fn say(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.tmux(args).output().unwrap();
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.socket]).args(args).stdin(Stdio::null());
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]).output().ok();
    }
}
