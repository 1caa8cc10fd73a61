"use strict";
const $ = (selector, root = document) => root.querySelector(selector);
const limits = document.body.dataset;
const panel = (name) => $(`#panel-${name}`);
const score = $("#score"), crop = $("#crop"), message = $("#message");

// What each tab shows below its stage.
const results = {
  image: { message: "" },
  camera: { message: "Faces appear while the camera runs." },
  video: { message: limits.hasVideo === "yes" ? "Choose a video." : "Videos need: pip install 'flaxmark[video]'" },
};
let tab = "image";

function show(name, result) {
  results[name] = result;
  if (name !== tab) return;
  if (message.textContent !== result.message) message.textContent = result.message;  // else it is read out again
  message.classList.toggle("error", Boolean(result.error));
  const faces = result.result?.faces ?? [];
  const chips = faces.filter((face) => face.score != null).map((face, index) => {
    const chip = document.createElement("li");
    chip.textContent = (faces.length > 1 ? `${index + 1}: ` : "Score ") + face.score.toFixed(2);
    return chip;
  });
  $("#faces").replaceChildren(...chips);
  $("#details").hidden = !faces.length;
  if (faces.length && $("#details").open) fillDetails();
}

// One point, or one box, a line.
function json() {
  return JSON.stringify(results[tab].result, null, 1).replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, " "));
}
function fillDetails() { $("#details pre").textContent = json(); }
$("#details").addEventListener("toggle", () => { if ($("#details").open) fillDetails(); });
$("#details .copy").addEventListener("click", () => navigator.clipboard?.writeText($("#details pre").textContent));
$("#details .save").addEventListener("click", (event) => {
  const link = event.currentTarget;
  offer(link, new Blob([json() + "\n"], { type: "application/json" }));
});

// One URL per element, so that earlier files are freed.
function offer(element, blob) {
  const property = element.tagName === "A" ? "href" : "src";
  const before = element.dataset.url;
  element[property] = element.dataset.url = URL.createObjectURL(blob);
  if (before) URL.revokeObjectURL(before);
  element.hidden = false;
}

// Sends an upload and reads the answer: lines of JSON, the last of which has the size of the file that follows.
async function send(path, blob, signal, progress = () => {}) {
  const query = new URLSearchParams({ min_score: score.value, crop: crop.checked ? "yes" : "no" });
  const response = await fetch(`${path}?${query}`, { method: "POST", body: blob, signal });
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let held = new Uint8Array();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the answer is incomplete");
    held = joined([held, value]);
    for (let end; (end = held.indexOf(10)) >= 0;) {
      const line = JSON.parse(decoder.decode(held.subarray(0, end)));
      held = held.slice(end + 1);
      if (line.error) throw new Refusal(line.error);
      if (!line.type) { progress(line); continue; }
      const parts = [held];
      for (let rest; !(rest = await reader.read()).done;) parts.push(rest.value);
      const file = new Blob(parts, { type: line.type });
      if (file.size !== line.bytes) throw new Error("the answer is incomplete");
      return { ...line, file };
    }
  }
}
class Refusal extends Error {}

function joined(arrays) {
  const all = new Uint8Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let place = 0;
  for (const array of arrays) { all.set(array, place); place += array.length; }
  return all;
}

function reason(error) {
  const text = error instanceof Refusal ? error.message : "The server does not answer. Is flaxmark demo still running?";
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Image: the newest choice and setting win; at most one upload is under way.
const image = { blob: null, running: false, again: false };

async function findFaces() {
  if (!image.blob) return;
  if (image.running) { image.again = true; return; }
  image.running = true;
  const stage = $(".stage", panel("image")), save = $(".save", panel("image")), empty = $(".empty", stage);
  const slow = setTimeout(() => stage.classList.add("busy"), 150);
  do {
    image.again = false;
    const { blob } = image;
    try {
      const answer = await send("image", blob);
      if (image.blob !== blob) continue;
      offer($(".shown", stage), answer.file);
      empty.hidden = true;
      $(".shown", stage).alt = `Chosen image with landmarks. ${answer.message}`;
      offer(save, answer.file);
      show("image", answer);
    } catch (error) {
      $(".shown", stage).hidden = save.hidden = true;
      empty.hidden = false;
      show("image", { message: reason(error), error: true });
    }
  } while (image.again);
  clearTimeout(slow);
  stage.classList.remove("busy");
  image.running = false;
}

function choose(blob, example = null) {
  for (const button of document.querySelectorAll(".examples button")) button.setAttribute("aria-pressed", button === example);
  if (blob.size > limits.imageLimit) {
    show("image", { message: `The file is larger than ${limits.imageLimit / 1e6} MB.`, error: true });
    return;
  }
  crop.checked = false;
  image.blob = blob;
  offer($(".shown", panel("image")), blob);  // until it is drawn
  findFaces();
}

// Some browsers cannot show what the server can read.
$(".shown", panel("image")).addEventListener("error", (event) => { event.target.hidden = true; });

for (const button of document.querySelectorAll(".examples button")) {
  button.addEventListener("click", async () => choose(await (await fetch($("img", button).src)).blob(), button));
}

// Files: chosen, dropped or pasted.
function takeFile(name, take) {
  const root = panel(name), input = $("input", root), stage = $(".stage", root);
  $(".choose", root).addEventListener("click", () => input.click());
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); input.value = ""; });
  root.addEventListener("dragover", (event) => { event.preventDefault(); stage.classList.add("over"); });
  root.addEventListener("dragleave", () => stage.classList.remove("over"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const file = event.dataTransfer.files[0];
    if (file) take(file);
  });
}
takeFile("image", choose);
takeFile("video", (file) => trackVideo(file));
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((item) => item.type.startsWith("image/"));
  if (file) { select("image"); choose(file); }
});

// Camera: the next frame is sent when the last one is drawn.
const camera = { stream: null, facing: "user" };
const film = document.createElement("video");
film.muted = film.playsInline = true;

async function startCamera() {
  stopCamera();
  if (!navigator.mediaDevices) {
    show("camera", { message: "This browser gives the camera to pages on localhost or https only.", error: true });
    return;
  }
  try {
    const wanted = { width: { ideal: 640 }, facingMode: camera.facing };
    camera.stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
  } catch (error) {
    const why = error.name === "NotAllowedError" ? "The browser may not use the camera." : "No camera was found.";
    show("camera", { message: why, error: true });
    return;
  }
  const stream = camera.stream, root = panel("camera");
  if (tab !== "camera") { stopCamera(); return; }
  film.srcObject = stream;
  await film.play();
  $(".start", root).textContent = "Stop the camera";
  const devices = await navigator.mediaDevices.enumerateDevices();
  $(".turn", root).hidden = devices.filter((device) => device.kind === "videoinput").length < 2;
  while (camera.stream === stream) {
    try {
      const answer = await send("image", await frame());
      if (camera.stream !== stream) return;
      offer($(".shown", root), answer.file);
      $(".empty", root).hidden = true;
      show("camera", { ...answer, message: answer.message.replace(/ If one face.*/, "") });
    } catch (error) {
      stopCamera();
      show("camera", { message: reason(error), error: true });
    }
  }
}

const canvas = document.createElement("canvas");
async function frame() {
  const shrink = Math.min(1, 640 / Math.max(film.videoWidth, film.videoHeight));
  canvas.width = Math.round(film.videoWidth * shrink);
  canvas.height = Math.round(film.videoHeight * shrink);
  const pen = canvas.getContext("2d");
  if (camera.facing === "user") { pen.translate(canvas.width, 0); pen.scale(-1, 1); }  // as in a mirror
  pen.drawImage(film, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
}

function stopCamera() {
  for (const track of camera.stream?.getTracks() ?? []) track.stop();
  camera.stream = film.srcObject = null;
  const root = panel("camera");
  $(".start", root).textContent = "Start the camera";
  $(".shown", root).hidden = $(".turn", root).hidden = true;
  $(".empty", root).hidden = false;
}
$(".start", panel("camera")).addEventListener("click", () => {
  if (!camera.stream) { startCamera(); return; }
  stopCamera();
  show("camera", { message: "Faces appear while the camera runs." });
});
$(".turn", panel("camera")).addEventListener("click", () => {
  camera.facing = camera.facing === "user" ? "environment" : "user";
  startCamera();
});

// Video: tracked as a whole; the progress is that of its time.
let stopping = null;

async function trackVideo(file) {
  const root = panel("video"), shown = $(".shown", root), bar = $("progress", root), stop = $(".stop", root);
  if (file.size > limits.videoLimit) {
    show("video", { message: `The file is larger than ${limits.videoLimit / 1e6} MB.`, error: true });
    return;
  }
  stopping?.abort();
  const own = stopping = new AbortController();
  $(".empty", root).hidden = true;
  $(".save", root).hidden = true;
  stop.hidden = bar.hidden = false;
  bar.removeAttribute("value");
  offer(shown, file);
  shown.controls = false;
  show("video", { message: "Looking for faces …" });
  try {
    const answer = await send("video", file, own.signal, (line) => {
      if (Number.isFinite(shown.duration)) bar.value = Math.min(1, line.seconds / shown.duration);
      if (!shown.seeking) shown.currentTime = line.seconds;
      show("video", { message: `${line.frames} frames …` });
    });
    offer(shown, answer.file);
    shown.controls = true;
    shown.play().catch(() => {});
    offer($(".save", root), answer.file);
    show("video", answer);
  } catch (error) {
    if (stopping !== own) return;
    shown.hidden = true;
    $(".empty", root).hidden = false;
    show("video", own.signal.aborted ? { message: "Stopped." } : { message: reason(error), error: true });
  }
  stop.hidden = bar.hidden = true;
}
$(".stop", panel("video")).addEventListener("click", () => stopping.abort());
if (limits.hasVideo !== "yes") $(".choose", panel("video")).disabled = true;

// Settings
function setScore() { $("#score-value").textContent = Number(score.value).toFixed(2); }
score.addEventListener("input", () => { setScore(); if (tab === "image") findFaces(); });
crop.addEventListener("change", () => { if (tab === "image") findFaces(); });

// Tabs, by click and by arrow keys.
const tabs = [...document.querySelectorAll("[role=tab]")];
function select(name) {
  if (name === tab) return;
  if (tab === "camera") stopCamera();
  tab = name;
  for (const button of tabs) {
    const own = button.id === `tab-${name}`;
    button.setAttribute("aria-selected", own);
    button.tabIndex = own ? 0 : -1;
    panel(button.id.slice(4)).hidden = !own;
  }
  $("#crop-setting").hidden = name !== "image";
  $("#score-tip").textContent = name === "video" ? "For the next video: faces with a lower score are not shown." : "Faces with a lower score are not shown.";
  $("#details").open = false;
  show(name, results[name]);
  if (name === "image") findFaces();
}
for (const [index, button] of tabs.entries()) {
  button.addEventListener("click", () => select(button.id.slice(4)));
  button.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1 };
    if (!(event.key in steps)) return;
    const next = tabs[(index + steps[event.key] + tabs.length) % tabs.length];
    next.focus();
    select(next.id.slice(4));
  });
}

setScore();
$(".examples button").click();
