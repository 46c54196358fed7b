// The key to a server that lets nobody in without one: asked for once, kept as long as this tab is open.

const PLACE = "copyist-key";
const NEEDED = "This server asks for a key. Whoever runs it can make you one.";
const SENDABLE = /^[\x21-\x7e]+$/; // What a browser takes for the value of a header.
const REFUSED = "The server does not take this key: it may be mistyped, revoked or too old.";

let key = remembered();
let asking = null;

function remembered() {
  try {
    return sessionStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // A browser may be set up to keep nothing.
  }
}

function remember() {
  try {
    sessionStorage.setItem(PLACE, key);
  } catch {
    // Then it is known until the page is reloaded.
  }
}

export const theKey = () => key;

// The headers of every request.
export const keyHeaders = () => (key ? { "X-API-Key": key } : {});

// Ask for a key because the server refused `tried` (empty: none); several requests may wait here for the same answer.
export async function anotherKey(tried) {
  if (tried !== key) return;
  asking ??= ask(tried ? REFUSED : NEEDED).then((given) => {
    key = given;
    asking = null;
    remember();
  });
  await asking;
}

function ask(sentence) {
  const form = document.getElementById("key-form");
  const input = document.getElementById("key");
  document.getElementById("key-reason").textContent = sentence;
  form.hidden = false;
  input.value = "";
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const given = input.value.trim();
      if (!given) return;
      if (!SENDABLE.test(given)) {
        document.getElementById("key-reason").textContent = REFUSED;
        return;
      }
      input.value = "";
      form.hidden = true;
      resolve(given);
    };
  });
}
