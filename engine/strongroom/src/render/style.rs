//! The few colours that there are.

/// Whether to colour, and with what.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    enabled: bool,
}

impl Style {
    /// Colours only where `enabled`.
    pub fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// Headings and what matters most.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What matters least.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Done.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Someone should look.
    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Failed.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Hints.
    pub fn hint(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.enabled && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}
