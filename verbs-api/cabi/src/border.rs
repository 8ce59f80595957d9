//! How functions are exported under their versions, and how errors cross into C.

use std::ffi::c_int;

use ferroce_engine::{PostError, VerbsError};

/// Defines functions that C programs call, each under the version with which the original library exports it.
///
/// The directive that binds name and version must stand in the same unit of code generation as the function, so it
/// is made here and nowhere else. The linker refuses versions that `exports.map` does not know, and the test
/// `versions` compares names and versions with that file.
macro_rules! export {
    ($(
        $(#[$attr:meta])*
        $version:literal fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$attr])*
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? $body
        std::arch::global_asm!(concat!(
            ".symver ", stringify!($name), ", ", stringify!($name), "@@", $version
        ));
    )*};
}
pub(crate) use export;

/// A value of `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

/// A pointer or argument that makes no sense.
pub(crate) const INVALID: Errno = Errno(libc::EINVAL);

/// What Ferroce does not offer. Programs recognise this value, and go on without.
pub(crate) const UNSUPPORTED: Errno = Errno(libc::EOPNOTSUPP);

/// There is not enough of something.
pub(crate) const NO_MEMORY: Errno = Errno(libc::ENOMEM);

impl From<VerbsError> for Errno {
    fn from(error: VerbsError) -> Errno {
        Errno(error.errno())
    }
}

impl From<PostError> for Errno {
    fn from(error: PostError) -> Errno {
        error.cause.into()
    }
}

impl Errno {
    /// What the last system call failed with.
    pub(crate) fn last() -> Errno {
        Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// Leaves it where C programs look for it.
    pub(crate) fn set(self) {
        // SAFETY: gives the address of this thread's own `errno`.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// For functions that return 0 or an error number. (`errno` is set too; some programs look there.)
pub(crate) fn status(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => {
            errno.set();
            errno.0
        }
    }
}

/// For functions that return a number, or -1 with `errno`.
pub(crate) fn number(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|errno| {
        errno.set();
        -1
    })
}

/// For functions that return a pointer, or NULL with `errno`.
pub(crate) fn pointer<T>(result: Result<*mut T, Errno>) -> *mut T {
    result.unwrap_or_else(|errno| {
        errno.set();
        std::ptr::null_mut()
    })
}
