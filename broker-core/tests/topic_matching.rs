//! The trie and the retained store give what `TopicFilter::matches` gives, filter by filter.

use broker_core::topic::{RetainedStore, SubscriptionTrie, TopicFilter, TopicName};
use bytestring::ByteString;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use std::collections::BTreeMap;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(&ByteString::from(text)).expect("a valid filter")
}

fn topic(text: &str) -> TopicName {
    TopicName::parse(ByteString::from(text)).expect("a valid topic name")
}

/// Few words, so that filters and topics meet; `!` sorts before `/`, and `a!` begins with another word.
fn word() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("a"), Just("b"), Just(""), Just("a!"), Just("$s"), Just("é")]
}

fn any_topic() -> impl Strategy<Value = TopicName> {
    proptest::collection::vec(word(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has a character", |text| !text.is_empty())
        .prop_map(|text| topic(&text))
}

fn any_filter() -> impl Strategy<Value = TopicFilter> {
    let level = prop_oneof![3 => word(), 2 => Just("+")];
    (proptest::collection::vec(level, 0..5), any::<bool>())
        .prop_map(|(mut levels, hash)| {
            levels.extend((hash || levels.is_empty()).then_some("#"));
            levels.join("/")
        })
        .prop_filter("a filter has a character", |text| !text.is_empty())
        .prop_map(|text| filter(&text))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trie_agrees_with_matching_one_by_one(
        changes in proptest::collection::vec((any::<bool>(), any_filter(), 0..4_u32), 0..60),
        topics in proptest::collection::vec(any_topic(), 1..20),
    ) {
        let mut trie = SubscriptionTrie::new();
        let mut model = BTreeMap::new();
        for (number, (insert, filter, subscriber)) in changes.into_iter().enumerate() {
            if insert {
                let old = trie.insert(&filter, subscriber, (filter.clone(), number));
                prop_assert_eq!(old, model.insert((filter.clone(), subscriber), (filter, number)));
            } else {
                prop_assert_eq!(trie.remove(&filter, &subscriber), model.remove(&(filter, subscriber)));
            }
            prop_assert_eq!(trie.len(), model.len());
            prop_assert_eq!(trie.is_empty(), model.is_empty());
        }
        for ((filter, subscriber), options) in &model {
            prop_assert_eq!(trie.get(filter, subscriber), Some(options));
        }
        for topic in &topics {
            let mut found = Vec::new();
            trie.for_each_match(topic, |&subscriber, (filter, number)| {
                found.push((filter.clone(), subscriber, *number));
            });
            found.sort();
            let expected: Vec<_> = model
                .iter()
                .filter(|((filter, _), _)| filter.matches(topic))
                .map(|((filter, subscriber), (_, number))| (filter.clone(), *subscriber, *number))
                .collect();
            prop_assert_eq!(found, expected, "{}", topic);
        }
    }

    #[test]
    fn order_of_matches_does_not_depend_on_history(
        filters in proptest::collection::vec((any_filter(), 0..4_u32), 0..30),
        passing in proptest::collection::vec(any_filter(), 0..30),
        topic in any_topic(),
    ) {
        let mut forwards = SubscriptionTrie::new();
        for (filter, subscriber) in &filters {
            forwards.insert(filter, *subscriber, filter.clone());
        }
        let mut backwards = SubscriptionTrie::new();
        for filter in &passing {
            backwards.insert(filter, 99, filter.clone());
        }
        for (filter, subscriber) in filters.iter().rev() {
            backwards.insert(filter, *subscriber, filter.clone());
        }
        for filter in &passing {
            backwards.remove(filter, &99);
        }
        prop_assert_eq!(order(&forwards, &topic), order(&backwards, &topic));
    }

    #[test]
    fn retained_store_agrees_with_matching_one_by_one(
        changes in proptest::collection::vec((any::<bool>(), any_topic()), 0..60),
        filters in proptest::collection::vec(any_filter(), 1..20),
    ) {
        let mut store = RetainedStore::new();
        let mut model = BTreeMap::new();
        for (number, (set, topic)) in changes.into_iter().enumerate() {
            if set {
                prop_assert_eq!(store.set(topic.clone(), number), model.insert(topic, number));
            } else {
                prop_assert_eq!(store.remove(&topic), model.remove(&topic));
            }
            prop_assert_eq!(store.len(), model.len());
            prop_assert_eq!(store.is_empty(), model.is_empty());
        }
        for (topic, number) in &model {
            prop_assert_eq!(store.get(topic), Some(number));
        }
        let mut all: Vec<_> = store.iter().map(|(topic, &number)| (topic.clone(), number)).collect();
        prop_assert!(all.is_sorted_by(|a, b| a.0.levels().lt(b.0.levels())));
        all.sort();
        prop_assert_eq!(all, model.clone().into_iter().collect::<Vec<_>>());
        for filter in &filters {
            let mut found = Vec::new();
            store.for_each_match(filter, |topic, &number| found.push((topic.clone(), number)));
            prop_assert!(found.is_sorted_by(|a, b| a.0.levels().lt(b.0.levels())), "{}", filter);
            found.sort();
            let expected: Vec<_> = model.clone().into_iter().filter(|(topic, _)| filter.matches(topic)).collect();
            prop_assert_eq!(found, expected, "{}", filter);
        }
    }
}

fn order(trie: &SubscriptionTrie<u32, TopicFilter>, topic: &TopicName) -> Vec<(u32, TopicFilter)> {
    let mut found = Vec::new();
    trie.for_each_match(topic, |&subscriber, filter| found.push((subscriber, filter.clone())));
    found
}

#[test]
fn share_names_are_not_looked_at() {
    let mut trie = SubscriptionTrie::new();
    trie.insert(&filter("$share/g/a/+"), 1, filter("a/+"));
    assert_eq!(order(&trie, &topic("a/b")), [(1, filter("a/+"))]);
    assert_eq!(
        trie.remove(&filter("a/+"), &1),
        Some(filter("a/+")),
        "the same filter under another share name"
    );
}

#[test]
fn a_topic_of_the_greatest_depth_needs_no_stack() {
    let deepest = "/".repeat(usize::from(u16::MAX));
    let wild = format!("{}/#", "+/".repeat(32_766).trim_end_matches('/'));
    let mut trie = SubscriptionTrie::new();
    for text in [&deepest, &wild, "#", "/+/#"] {
        trie.insert(&filter(text), 1, filter(text));
    }
    let found: Vec<_> =
        order(&trie, &topic(&deepest)).into_iter().map(|(_, filter)| filter.to_string()).collect();
    assert_eq!(found, [deepest.as_str(), "#", "/+/#", &wild]);
    assert!(trie.remove(&filter(&wild), &1).is_some());

    let mut store = RetainedStore::new();
    store.set(topic(&deepest), 1);
    let mut found = 0;
    store.for_each_match(&filter("#"), |_, _| found += 1);
    store.for_each_match(&filter(&wild), |_, _| found += 1);
    store.for_each_match(&filter(&deepest), |_, _| found += 1);
    assert_eq!((found, store.iter().count()), (3, 1));
    assert_eq!(store.remove(&topic(&deepest)), Some(1));
}
