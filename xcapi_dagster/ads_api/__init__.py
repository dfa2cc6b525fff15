"""The HTTPS edge: one request to X, and what its answer means. No pandas and no Dagster here.

Read `client` first: it sends conversions, once, over a `connection`, and never raises because of the network; the whole
of an answer has one `deadline`. `responses` then turns whatever came back into an `Answer`, one of nine kinds; it is
pure, as is all it rests on: `api_errors` (what X says is wrong), `headers` (limits, waits, clocks), `catalogue` (every
documented error, with what to mend and who must), `advice` (the same in a line) and `redact` (X's words without
anybody's values).

`account` asks X about the ads account over the same connection, and `event_tags` makes its five calls about web event
tags, with `tag_values` (what X takes) and `tag_plan` (what should exist); `user_access` asks who is signed in. Before
all that, `sign_in` gets a user's access token, with `callback` where a browser brings it.
"""
