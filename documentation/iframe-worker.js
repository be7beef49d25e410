// A browser starts no worker for pages in a folder (file://): the search's script runs in a hidden frame there.
// zensical would load such a shim from another host; one whose name contains iframe-worker stands in its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc =
        "<script>self.postMessage = data => parent.postMessage(data, '*')</script>" +
        `<script src="${url}"></script>`
      this.loaded = new Promise(done => { this.frame.onload = done })
      this.hear = event => {
        if (event.source !== this.frame.contentWindow) return
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        this.onmessage?.(message)
      }
      window.addEventListener("message", this.hear)
      document.body.append(this.frame)
    }
    async postMessage(data) {
      await this.loaded
      window.postMessage.call(this.frame.contentWindow, data, "*") // its own is the one to this page
    }
    terminate() {
      window.removeEventListener("message", this.hear)
      this.frame.remove()
    }
  }
}
