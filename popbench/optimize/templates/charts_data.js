// What the charts of a report take from its page: this page has one view, which never changes.
"use strict";
const popbench = {
  data: JSON.parse(document.getElementById("json-data").textContent),
  onView: () => {},
  view: () => null,
};
