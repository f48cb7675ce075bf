package recommender

import android.app.Activity
import android.os.Bundle
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ListView
import android.widget.TextView
import java.io.File
import java.util.concurrent.Executors

private const val ADDRESS = "https://models.example/movielens" // The folder that the pipeline pushes to.
private const val MAX_RESULTS = 40

/** Lets users search and pick titles, and shows recommendations, each with the pick that led to it. */
class MainActivity : Activity() {
    private val background = Executors.newSingleThreadExecutor()
    private val updates by lazy { Updates(File(filesDir, "models"), ADDRESS) }
    private var recommender: Recommender? = null
    private var picks = listOf<String>() // Ids, oldest first. Indices change with the model.

    private val search by lazy { EditText(this).apply { hint = "Search titles" } }
    private val picked by lazy { TextView(this) }
    private val clear by lazy { Button(this).apply { text = "Clear" } }
    private val list by lazy { ListView(this) }
    private val rows = Rows()

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        picks = state?.getStringArrayList(PICKS).orEmpty()
        setContentView(page())
        list.adapter = rows
        search.addTextChangedListener(object : TextWatcher {
            override fun afterTextChanged(text: Editable?) = show()
            override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit
            override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit
        })
        list.setOnItemClickListener { _, _, position, _ ->
            val id = rows.getItem(position).id
            picks = if (id in picks) picks - id else picks + id
            search.text.clear()
            show()
        }
        clear.setOnClickListener {
            picks = emptyList()
            show()
        }
        background.execute(::open)
    }

    override fun onSaveInstanceState(state: Bundle) {
        super.onSaveInstanceState(state)
        state.putStringArrayList(PICKS, ArrayList(picks))
    }

    override fun onDestroy() {
        background.shutdown()
        recommender?.close()
        super.onDestroy()
    }

    /** Opens the version in use, or at the first start the bundled version, and then updates it. */
    private fun open() {
        try {
            try {
                use(updates.current() ?: bundled())
            } catch (error: ArtifactException) {
                // A damaged version in use: the update below downloads it again.
                use(bundled())
            }
            updates.update()?.let(::use)
        } catch (error: ArtifactException) {
            // Without a connection, the version in use stays.
            if (recommender == null) runOnUiThread { picked.text = error.message }
        }
    }

    private fun use(folder: File) {
        val opened = Recommender(folder)
        runOnUiThread {
            recommender?.close()
            recommender = opened
            show()
        }
    }

    /** Returns the folder of the bundled version, copied from the app's assets. */
    private fun bundled(): File {
        val folder = File(cacheDir, "bundled").apply { mkdirs() }
        for (name in listOf(INFO, ITEMS, MODEL)) {
            assets.open("model/$name").use { source -> File(folder, name).outputStream().use { source.copyTo(it) } }
        }
        return folder
    }

    private fun show() {
        val recommender = recommender ?: return
        val text = search.text.toString()
        picked.text = picks.mapNotNull { recommender.catalogue.find(it)?.title }.joinToString(", ").ifEmpty { "No picks yet" }
        rows.items = if (text.isNotBlank()) {
            recommender.catalogue.search(text).take(MAX_RESULTS).map { Row(it.id, it.title, it.genres.joinToString(", ")) }
        } else {
            recommender.recommend(picks).map { (item, _) ->
                val reason = if (picks.isEmpty()) null else recommender.because(picks, item.id).firstOrNull()
                val because = reason?.takeIf { it.contribution > 0 }?.let { "Because of ${it.item.title}" }
                Row(item.id, item.title, because ?: item.genres.joinToString(", "))
            }
        }
    }

    private fun page(): View =
        LinearLayout(this).apply {
            orientation = LinearLayout.VERTICAL
            fitsSystemWindows = true
            addView(search)
            addView(
                LinearLayout(context).apply {
                    addView(picked, LinearLayout.LayoutParams(0, ViewGroup.LayoutParams.WRAP_CONTENT, 1f))
                    addView(clear)
                },
            )
            addView(list, LinearLayout.LayoutParams(ViewGroup.LayoutParams.MATCH_PARENT, 0, 1f))
        }

    private data class Row(val id: String, val title: String, val detail: String)

    private inner class Rows : BaseAdapter() {
        var items = listOf<Row>()
            set(value) {
                field = value
                notifyDataSetChanged()
            }

        override fun getCount() = items.size

        override fun getItem(position: Int) = items[position]

        override fun getItemId(position: Int) = position.toLong()

        override fun getView(position: Int, old: View?, parent: ViewGroup): View {
            val view = old ?: layoutInflater.inflate(android.R.layout.simple_list_item_2, parent, false)
            view.findViewById<TextView>(android.R.id.text1).text = items[position].title
            view.findViewById<TextView>(android.R.id.text2).text = items[position].detail
            return view
        }
    }

    private companion object {
        const val PICKS = "picks"
    }
}
