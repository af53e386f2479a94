// Search, beside the theme's own script. Browsers start no Worker from file://, so there the
// worker's script runs in a frame. And the theme knows words of Chinese only with a dictionary, so
// that a query's characters are looked for one by one.
(() => {
  class FrameWorker extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inner = (this.inner = frame.contentWindow)
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = inner.document.createElement("script")
          Object.assign(script, { src: source, onload: resolve, onerror: reject })
          inner.document.body.append(script)
        })
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      inner.importScripts = async (...sources) => {
        for (const source of sources) await load(source)
      }
      this.loaded = load(url)
    }

    postMessage(data) {
      this.loaded.then(() =>
        this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data })),
      )
    }
  }

  const between = /(?<=\p{Script=Han})(?=\p{Script=Han})/gu
  window.Worker = class extends (location.protocol === "file:" ? FrameWorker : Worker) {
    postMessage(message) {
      const isQuery = typeof message.data === "string"
      super.postMessage(isQuery ? { ...message, data: message.data.replace(between, " ") } : message)
    }
  }
})()
