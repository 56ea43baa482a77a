//! The nearest known word to a misspelt one, for hints.

/// `did you mean 'x'?` where one of `known` is near enough to `word`.
pub fn did_you_mean<S: AsRef<str>>(word: &str, known: &[S]) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean '{known}'?"))
}

/// `did you mean 'x'?`, or else what there is: `what: a, b`.
pub fn did_you_mean_or_list<S: AsRef<str>>(word: &str, what: &str, known: &[S]) -> String {
    did_you_mean(word, known).unwrap_or_else(|| {
        if known.is_empty() {
            return format!("{what}: none");
        }
        let known: Vec<_> = known.iter().map(AsRef::as_ref).collect();
        format!("{what}: {}", known.join(", "))
    })
}

/// `"a", "b" or "c"`.
pub fn quoted_list<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<_> = words
        .iter()
        .map(|word| format!("\"{}\"", word.as_ref()))
        .collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The nearest of `known`, within a third of the word's letters (and at least one).
pub fn nearest<'a, S: AsRef<str>>(word: &str, known: &'a [S]) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|known| {
            let distance =
                strsim::damerau_levenshtein(&word.to_lowercase(), &known.as_ref().to_lowercase());
            (distance, known.as_ref())
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_far_one_is_not() {
        let check = |word, expected: Option<&str>| {
            assert_eq!(
                nearest(word, &["host", "port", "password"]),
                expected,
                "{word}"
            );
        };
        check("hots", Some("host"));
        check("pasword", Some("password"));
        check("passwd", Some("password"));
        check("PORT", Some("port"));
        check("x", None);
        check("database", None);
    }
}
