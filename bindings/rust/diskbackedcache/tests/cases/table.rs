//! Reading the table: its forms of values, and a step of a case.

use serde_json::{Map, Value as Json};

pub(crate) type Members = Map<String, Json>;

/// A text, `{"repeat", "times"}` or `{"hex"}`.
pub(crate) fn bytes_of(given: &Json) -> Vec<u8> {
    if let Some(text) = given.as_str() {
        return text.into();
    }
    if let Some(hex) = given.get("hex").and_then(Json::as_str) {
        let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex digits");
        return (0..hex.len()).step_by(2).map(digits).collect();
    }
    given["repeat"].as_str().expect("a text").repeat(given["times"].as_u64().expect("a number") as usize).into()
}

pub(crate) fn text_of(given: &Json) -> String {
    String::from_utf8(bytes_of(given)).expect("a text: raw keys are no feature of this")
}

pub(crate) fn list_of(given: Option<Json>) -> Vec<Json> {
    given.map_or_else(Vec::new, |given| given.as_array().expect("a list").clone())
}

pub(crate) fn name_of(given: &Json) -> String {
    given.as_str().expect("a name").to_owned()
}

/// Takes what the step gives, so that what is left over in the end nobody knew.
pub(crate) struct Step {
    pub(crate) given: Members,
    pub(crate) expect: Members,
}

impl Step {
    pub(crate) fn new(given: &Json) -> Step {
        let mut given = given.as_object().expect("a step").clone();
        let expect = given.remove("expect").map_or_else(Members::new, |expect| expect.as_object().unwrap().clone());
        Step { given, expect }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Json> {
        self.given.remove(name)
    }

    /// What is expected of something, if anything is.
    pub(crate) fn expected(&mut self, name: &str) -> Option<Json> {
        self.expect.remove(name)
    }

    #[track_caller]
    pub(crate) fn expects(&mut self, name: &str, actual: impl Into<Json>) {
        assert_eq!(Some(actual.into()), self.expected(name), "{name}");
    }

    pub(crate) fn key(&mut self) -> String {
        text_of(&self.take("key").expect("a key"))
    }

    pub(crate) fn keys(&mut self) -> Vec<String> {
        list_of(self.take("keys")).iter().map(text_of).collect()
    }

    pub(crate) fn is_text(&mut self) -> bool {
        self.take("text").is_some_and(|text| text.as_bool().unwrap())
    }
}
