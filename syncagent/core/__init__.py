"""The pure core: values and decisions. No I/O, no clock, no randomness, no thread.

Reading order: `artifact`, `digest`, `manifest`, `revision`, `snapshot` are the nouns;
`change`, `plan`, `order`, `groups`, `safety` decide what happens to them; `guard`, `lease`,
`rollout` decide who may do it and when; `wire` turns messages into bytes.
"""
