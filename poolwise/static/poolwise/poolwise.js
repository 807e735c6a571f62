// Live parts refresh themselves through htmx; this pauses them, updates their times and announces changes.
"use strict";

const PAUSED = "poolwise-paused";
const exact = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const announcer = document.getElementById("announcer");
const lost = document.getElementById("lost");

const isPaused = () => document.getElementById("live-switch") !== null && sessionStorage.getItem(PAUSED) === "yes";
const isLive = (element) => element.matches("[data-live]");

function ago(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

function since(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")} min`;
}

function showTimes() {
  for (const element of document.querySelectorAll("time[data-time]")) {
    const at = new Date(element.dateTime);
    const seconds = Math.max(0, (Date.now() - at) / 1000);
    const full = exact.format(at);
    let text = `${full}.${String(at.getMilliseconds()).padStart(3, "0")}`;
    if (element.dataset.time === "ago") text = seconds < 86400 ? ago(seconds) : full;
    if (element.dataset.time === "since") text = since(seconds);
    if (element.textContent !== text) element.textContent = text;
    element.title = full;
  }
}

function announce() {
  const source = document.querySelector("[data-announce]");
  const text = source?.textContent;
  if (source?.dataset.title) document.title = source.dataset.title;
  if (text && announcer.dataset.announced !== text) {
    // Not the first text: screen readers read it with the page.
    if (announcer.dataset.announced) announcer.textContent = text;
    announcer.dataset.announced = text;
  }
}

function showSwitch() {
  document.getElementById("live-switch")?.setAttribute("aria-pressed", String(!isPaused()));
}

function refresh() {
  for (const element of document.querySelectorAll("[data-live][hx-get]")) htmx.trigger(element, "refresh");
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#live-switch")) return;
  sessionStorage.setItem(PAUSED, isPaused() ? "no" : "yes");
  showSwitch();
  if (!isPaused()) refresh();
});
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isLive(event.target) && (document.hidden || isPaused())) event.preventDefault();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("htmx:afterSwap", () => { showTimes(); announce(); });
document.addEventListener("htmx:afterRequest", (event) => {
  if (isLive(event.target)) lost.hidden = event.detail.successful;
});

showTimes();
announce();
showSwitch();
setInterval(showTimes, 1000);
document.querySelector("[data-focus]")?.focus();
