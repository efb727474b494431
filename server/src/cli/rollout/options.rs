//! The options that every rollout command takes, and what they find around the process.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::client::{Client, Settings};
use crate::cli::Failure;

/// The variable that holds the admin token. There is no flag: a command line can be read by others.
pub(super) const TOKEN_VARIABLE: &str = "PERCH_ADMIN_TOKEN";

/// How the server is reached.
#[derive(Args, Debug)]
pub(super) struct Connection {
    /// The server.
    #[arg(long, env = "PERCH_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    server: String,
    /// A file with the admin token, instead of the variable `PERCH_ADMIN_TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates in PEM to trust beside the system's.
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
}

impl Connection {
    /// A client of that server.
    pub(super) fn client(&self, around: &Surroundings) -> Result<Client, Failure> {
        let read = |flag: &str, file: &PathBuf| {
            fs::read(file).map_err(|error| Failure::Usage(format!("{flag} {}: {error}", file.display())))
        };
        let mut token = around.token.clone();
        if let Some(file) = &self.token_file {
            let text = String::from_utf8_lossy(&read("--token-file", file)?).trim().to_owned();
            if text.is_empty() {
                return Err(Failure::Usage(format!("--token-file {}: the file is empty", file.display())));
            }
            token = Some(text);
        }
        let ca_cert = self.ca_cert.as_ref().map(|file| read("--ca-cert", file)).transpose()?;
        Client::new(&Settings { server: self.server.clone(), token, ca_cert })
    }
}

/// What the process finds around it, apart from its arguments.
#[derive(Default)]
pub(super) struct Surroundings {
    /// The admin token.
    pub(super) token: Option<String>,
    /// The user's name.
    pub(super) user: Option<String>,
    /// The machine's name.
    pub(super) host: Option<String>,
}

impl Surroundings {
    pub(super) fn of_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let first_line = |file: &str| {
            let text = fs::read_to_string(file).ok()?;
            text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
        };
        Self {
            token: variable(TOKEN_VARIABLE),
            user: variable("USER").or_else(|| variable("LOGNAME")),
            host: variable("HOSTNAME")
                .or_else(|| first_line("/proc/sys/kernel/hostname"))
                .or_else(|| first_line("/etc/hostname")),
        }
    }

    /// How the audit log calls who gives a command, where nothing else is said.
    pub(super) fn who(&self) -> Option<String> {
        match (&self.user, &self.host) {
            (Some(user), Some(host)) => Some(format!("{user}@{host}")),
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_as_much_as_is_known() {
        let who = |user: Option<&str>, host: Option<&str>| {
            Surroundings { token: None, user: user.map(str::to_owned), host: host.map(str::to_owned) }.who()
        };
        assert_eq!(who(Some("alice"), Some("laptop")), Some("alice@laptop".into()));
        assert_eq!(who(Some("alice"), None), Some("alice".into()));
        assert_eq!(who(None, Some("laptop")), Some("laptop".into()));
        assert_eq!(who(None, None), None);
    }
}
