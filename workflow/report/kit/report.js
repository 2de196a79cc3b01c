"use strict";
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells), body = table.tBodies[0];
  heads.forEach(function (head, k) {
    var button = head.querySelector("span");
    button.tabIndex = 0;
    button.setAttribute("role", "button");
    button.title = "Sort by this column";
    function sort() {
      var down = head.getAttribute("aria-sort") !== "descending" && (head.hasAttribute("aria-sort") || k > 0);
      heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      Array.from(body.rows).map(function (row, i) { return { row: row, v: row.cells[k].dataset.v, i: i }; })
        .sort(function (a, b) {
          if (a.v === "" || b.v === "") return (a.v === "") - (b.v === "") || a.i - b.i;
          var x = Number(a.v), y = Number(b.v);
          var order = isNaN(x) || isNaN(y) ? a.v.localeCompare(b.v, undefined, { numeric: true }) : x - y;
          return (down ? -order : order) || a.i - b.i;
        }).forEach(function (item) { body.appendChild(item.row); });
    }
    button.addEventListener("click", sort);
    button.addEventListener("keydown", function (event) {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
});
document.querySelectorAll(".tabs").forEach(function (box) {
  var tabs = Array.from(box.querySelectorAll(":scope > .tab"));
  if (tabs.length < 2) return;
  var pick = document.createElement("div");
  pick.className = "pick";
  pick.setAttribute("role", "group");
  pick.setAttribute("aria-label", box.dataset.label);
  var buttons = tabs.map(function (tab, k) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = tab.dataset.title;
    button.addEventListener("click", function () { show(k); });
    pick.appendChild(button);
    return button;
  });
  function show(k) {
    tabs.forEach(function (tab, j) { tab.hidden = j !== k; buttons[j].setAttribute("aria-pressed", String(j === k)); });
  }
  box.classList.add("picked");
  box.prepend(pick);
  show(0);
});
