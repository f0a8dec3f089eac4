"use strict";

const $ = (id) => document.getElementById(id);
const settled = ["succeeded", "failed", "canceled"];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

let started = 0;
let last = "";
let current = null;

function say(text, failed) {
	$("state").textContent = text;
	$("state").classList.toggle("failed", Boolean(failed));
}

function note(text) {
	if (text === last)
		return;
	last = text;
	const line = document.createElement("li");
	line.textContent = ((Date.now() - started) / 1000).toFixed(1) + " s  " + text;
	$("trail").append(line);
}

function headers() {
	const all = { Accept: "application/json" };
	const token = $("token").value.trim();
	if (token)
		all.Authorization = "Bearer " + token;
	return all;
}

/* An answer's JSON; whatever is not a success becomes an Error in words. */
async function call(method, path, form) {
	const answer = await fetch(path, { method, headers: headers(), body: form, cache: "no-store" });
	const json = await answer.json().catch(() => ({}));
	if (answer.ok)
		return { answer, json };
	const wrong = (json.errors || []).map((e) => `${e.pointer}: ${e.detail}`);
	const text = [json.detail || json.title || "HTTP " + answer.status, ...wrong].join(" ");
	const error = new Error(json.code ? `${text} (${json.code})` : text);
	error.again = answer.status >= 500 || answer.status === 429;
	throw error;
}

function show(job) {
	const assets = (job.assets || []).map((asset) => {
		const figure = document.createElement("figure");
		const video = (asset.content_type || "").startsWith("video/");
		const media = document.createElement(video ? "video" : "img");
		media.src = asset.url;
		if (video)
			media.controls = true;
		else
			media.alt = "Generated for: " + $("prompt").value;
		const caption = document.createElement("figcaption");
		const link = document.createElement("a");
		link.href = asset.url;
		link.textContent = asset.url;
		caption.append(link);
		figure.append(media, caption);
		return figure;
	});
	$("assets").replaceChildren(...assets);
}

/* Ask until the job has ended; a server that is away for a while is no end. */
async function follow(where) {
	for (let failures = 0;;) {
		let job;
		try {
			job = (await call("GET", where)).json;
			failures = 0;
		} catch (error) {
			if (error.again === false || ++failures > 30)
				throw error;
			note("no status: " + error.message);
			await sleep(2000);
			continue;
		}
		note(job.status);
		show(job);
		if (settled.includes(job.status))
			return job;
		say("Working: " + job.status);
		await sleep(700);
	}
}

async function generate(event) {
	event.preventDefault();
	$("go").disabled = true;
	$("trail").replaceChildren();
	$("assets").replaceChildren();
	started = Date.now();
	last = "";
	try {
		say("Posting …");
		const { answer, json } = await call("POST", "/generate", new FormData($("form")));
		current = json.id;
		$("cancel").disabled = false;
		note("accepted as " + json.id);
		const job = await follow(answer.headers.get("Location") || "/status/" + json.id);
		if (job.status === "failed" && job.error)
			say(`Failed: ${job.error.message} (${job.error.code})`, true);
		else
			say("Ended: " + job.status, job.status !== "succeeded");
	} catch (error) {
		say(error.message, true);
	} finally {
		current = null;
		$("go").disabled = false;
		$("cancel").disabled = true;
	}
}

async function cancel() {
	if (!current)
		return;
	$("cancel").disabled = true;
	try {
		await call("POST", `/generate/${current}/cancel`);
		note("cancel asked for");
	} catch (error) {
		note("cancel: " + error.message);
	}
}

$("form").addEventListener("submit", generate);
$("cancel").addEventListener("click", cancel);
