//! Parameters of a call, and the property strings inside some of them.
//!
//! Form values are encoded by the URL standard's form encoding, so nothing in a value can become another key.
//! Inside a property string only `,` and `=` have meaning: a value holding one of them is refused, because
//! Proxmox has no way to quote it.

use std::fmt;

use url::form_urlencoded::Serializer;

use crate::error::Error;

/// Parameters in order. `Debug` shows the keys only: values may be passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl Form {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one parameter.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.push(key, value);
        self
    }

    /// Adds one parameter when there is a value.
    #[must_use]
    pub fn with_some(mut self, key: &str, value: Option<impl fmt::Display>) -> Self {
        if let Some(value) = value {
            self.push(key, value);
        }
        self
    }

    /// Adds a yes or no, as the only spelling that Proxmox accepts in forms: 1 or 0.
    #[must_use]
    pub fn with_flag(self, key: &str, value: Option<bool>) -> Self {
        self.with_some(key, value.map(u8::from))
    }

    /// Adds one parameter.
    pub fn push(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameters, in order.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As `application/x-www-form-urlencoded`, for a body or a query.
    pub fn encode(&self) -> String {
        let mut out = Serializer::new(String::new());
        for (key, value) in &self.0 {
            out.append_pair(key, value);
        }
        out.finish()
    }
}

/// A property string such as `name=eth0,bridge=vmbr0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PropertyString(String);

impl PropertyString {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A string that starts with its default key's value, for example a volume.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the value holds `,`, `=` or a control character.
    pub fn starting_with(parameter: &str, value: &str) -> Result<Self, Error> {
        check(parameter, value)?;
        Ok(Self(value.to_owned()))
    }

    /// Adds `key=value`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the value is empty or holds `,`, `=` or a control character.
    pub fn set(&mut self, key: &'static str, value: impl fmt::Display) -> Result<(), Error> {
        let value = value.to_string();
        check(key, &value)?;
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(&value);
        Ok(())
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for PropertyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(key: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        return Err(Error::refused(key, "must not be empty"));
    }
    if value.chars().any(|c| matches!(c, ',' | '=') || c.is_control()) {
        return Err(Error::refused(
            key,
            "must not contain a comma, an equals sign or a line break",
        ));
    }
    Ok(())
}
